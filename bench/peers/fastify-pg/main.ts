import { readEnvironment } from '../rules/environment.js';
import { buildApp } from './app.js';

const environment = readEnvironment();
const app = await buildApp(environment);
process.once('SIGTERM', () => void app.close());
await app.listen({ port: environment.port, host: '127.0.0.1' });
