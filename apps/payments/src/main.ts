import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { enableMeshShutdown, MeshModule } from 'nestjs-mesh';
import { PaymentsModule } from './payments.module.js';
import { paymentsPolicies } from './payments.policies.js';

@Module({
  imports: [
    MeshModule.forRoot({ service: { name: 'payments' }, resilience: { policies: paymentsPolicies } }),
    PaymentsModule,
  ],
})
class PaymentsApp {}

const app = await NestFactory.create(PaymentsApp, { bufferLogs: true });
enableMeshShutdown(app);
await app.listen(process.env['PORT'] ?? 3002);
