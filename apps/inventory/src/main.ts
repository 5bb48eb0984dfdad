import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { enableMeshShutdown, MeshModule } from 'nestjs-mesh';
import { InventoryModule } from './inventory.module.js';

@Module({ imports: [MeshModule.forRoot({ service: { name: 'inventory' } }), InventoryModule] })
class InventoryApp {}

const app = await NestFactory.create(InventoryApp, { bufferLogs: true });
enableMeshShutdown(app);
await app.listen(process.env['PORT'] ?? 3001);
