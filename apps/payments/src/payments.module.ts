import { Module } from '@nestjs/common';
import { PaymentsController } from './payments.controller.js';
import { ProviderStub } from './provider.stub.js';

@Module({ controllers: [PaymentsController], providers: [ProviderStub] })
export class PaymentsModule {}
