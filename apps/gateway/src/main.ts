import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { enableMeshShutdown, MeshModule } from 'nestjs-mesh';
import { GatewayModule } from './gateway.module.js';
import { gatewayPolicies } from './gateway.policies.js';

@Module({
  imports: [
    MeshModule.forRoot({ service: { name: 'gateway' }, resilience: { policies: gatewayPolicies } }),
    GatewayModule,
  ],
})
class GatewayApp {}

const app = await NestFactory.create(GatewayApp, { bufferLogs: true });
enableMeshShutdown(app);
await app.listen(process.env['PORT'] ?? 3000);
