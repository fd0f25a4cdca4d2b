import { Controller, Get, NotFoundException, Param, ParseUUIDPipe } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import { Repository } from 'typeorm';
import { type Caller, reachesAll } from '../rules/environment.js';
import { User } from './entities.js';
import { CurrentUser } from './request.js';

@Controller('v1/users')
export class UsersController {
  constructor(@InjectRepository(User) private readonly users: Repository<User>) {}

  @Get(':id')
  async get(@Param('id', ParseUUIDPipe) id: string, @CurrentUser() caller: Caller): Promise<User> {
    const user = id === caller.sub || reachesAll(caller) ? await this.users.findOneBy({ id }) : null;
    if (user === null) throw new NotFoundException();
    return user;
  }
}
