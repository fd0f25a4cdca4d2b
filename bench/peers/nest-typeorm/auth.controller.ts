import { Body, Controller, HttpCode, Post, Req } from '@nestjs/common';
import { Length } from 'class-validator';
import { AuthService } from './auth.service.js';
import { Public } from './auth.guard.js';
import type { SignedInRequest } from './request.js';

class LoginDto {
  @Length(1, 254)
  email: string;

  @Length(1, 128)
  password: string;
}

@Controller('v1/auth')
export class AuthController {
  constructor(private readonly auth: AuthService) {}

  @Public()
  @Post('login')
  @HttpCode(200)
  async login(@Body() { email, password }: LoginDto, @Req() { id }: SignedInRequest) {
    return this.auth.signIn(email, password, id);
  }
}
