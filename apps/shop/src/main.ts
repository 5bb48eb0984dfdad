import { NestFactory } from '@nestjs/core';
import { enableMeshShutdown } from 'nestjs-mesh';
import { ShopModule } from './shop.module.js';
import { thingsToTry } from './things-to-try.js';

const port = Number(process.env['PORT'] ?? 3000);
const app = await NestFactory.create(ShopModule, { bufferLogs: true });
enableMeshShutdown(app);
await app.listen(port);
// The log writes in the background: let its lines of the start go first.
setTimeout(() => process.stdout.write(thingsToTry(`http://localhost:${port}`)), 200);
