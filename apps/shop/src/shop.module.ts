import { Module } from '@nestjs/common';
import { MeshModule } from 'nestjs-mesh';
import { GatewayModule } from '../../gateway/src/gateway.module.js';
import { gatewayPolicies } from '../../gateway/src/gateway.policies.js';
import { InventoryModule } from '../../inventory/src/inventory.module.js';
import { PaymentsModule } from '../../payments/src/payments.module.js';
import { paymentsPolicies } from '../../payments/src/payments.policies.js';

/** The whole shop in one process: one mesh, three services that talk over its in-process broker. */
@Module({
  imports: [
    MeshModule.forRoot({
      service: { name: 'shop' },
      resilience: { policies: { ...gatewayPolicies, ...paymentsPolicies } },
    }),
    GatewayModule,
    InventoryModule,
    PaymentsModule,
  ],
})
export class ShopModule {}
