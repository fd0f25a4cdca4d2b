import { ValidationPipe } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import compression from 'compression';
import helmet from 'helmet';
import { Logger } from 'nestjs-pino';
import { readEnvironment } from '../rules/environment.js';
import { AppModule } from './app.module.js';

const environment = readEnvironment();
const app = await NestFactory.create(AppModule.with(environment), { bufferLogs: true });
app.useLogger(app.get(Logger));
app.use(helmet());
app.use(compression());
app.useGlobalPipes(new ValidationPipe({ whitelist: true, forbidNonWhitelisted: true, transform: true }));
app.enableShutdownHooks();
await app.listen(environment.port, '127.0.0.1');
