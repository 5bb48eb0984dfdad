import {
  Module,
  type BeforeApplicationShutdown,
  type DynamicModule,
  type OnApplicationBootstrap,
  type OnModuleDestroy,
} from '@nestjs/common';
import { HttpAdapterHost, ModulesContainer } from '@nestjs/core';
import { CallContexts } from '../../../libs/mesh/src/core/call-context.js';
import { SystemClock } from '../../../libs/mesh/src/core/clock.js';
import { SystemIds } from '../../../libs/mesh/src/core/ids.js';
import { EventLoopSampler } from '../../../libs/mesh/src/core/event-loop.sampler.js';
import { fixedOptions } from '../../../libs/mesh/src/core/live-options.js';
import { MeshEvents } from '../../../libs/mesh/src/core/mesh.events.js';
import { MetricsClient } from '../../../libs/mesh/src/core/metrics.port.js';
import { HealthAggregator } from '../../../libs/mesh/src/health/health.aggregator.js';
import { HealthContributorExplorer } from '../../../libs/mesh/src/health/health-contributor.explorer.js';
import { HealthFormatter } from '../../../libs/mesh/src/health/health.formatter.js';
import { healthSchema } from '../../../libs/mesh/src/health/health.options.js';
import { healthRoutes, type HealthDetails } from '../../../libs/mesh/src/health/health.routes.js';
import { terminusFormatterProvider, terminusModule } from '../../../libs/mesh/src/health/terminus.adapter.js';
import { HttpIntake } from '../../../libs/mesh/src/lifecycle/http.intake.js';
import { metricsSchema } from '../../../libs/mesh/src/metrics/metrics.options.js';
import { PrometheusMetrics } from '../../../libs/mesh/src/metrics/prometheus.metrics.js';

export interface HealthOnlyOptions {
  readonly health?: unknown;
  readonly details?: HealthDetails;
}

/** The health room alone on the adapter's hook: what it does must not depend on the rest of the mesh. */
@Module({})
export class HealthOnlyModule implements OnApplicationBootstrap, OnModuleDestroy, BeforeApplicationShutdown {
  constructor(
    private readonly health: HealthAggregator,
    private readonly modules: ModulesContainer,
  ) {}

  static forRoot({ health: options = {}, details }: HealthOnlyOptions = {}): DynamicModule {
    const live = fixedOptions(healthSchema.parse(options));
    const clock = new SystemClock();
    const ids = new SystemIds();
    const events = new MeshEvents();
    const contexts = new CallContexts();
    return {
      module: HealthOnlyModule,
      global: true,
      imports: [terminusModule()],
      providers: [
        terminusFormatterProvider,
        {
          provide: MetricsClient,
          useFactory: () => new PrometheusMetrics(fixedOptions(metricsSchema.parse({ processMetrics: false })), events),
        },
        {
          provide: HealthAggregator,
          inject: [MetricsClient],
          useFactory: (metrics: MetricsClient) =>
            new HealthAggregator(live, {
              clock,
              contexts,
              eventLoop: new EventLoopSampler(clock),
              ids,
              events,
              metrics,
            }),
        },
        {
          provide: HttpIntake,
          inject: [HttpAdapterHost, HealthAggregator, HealthFormatter],
          useFactory: (host: HttpAdapterHost, health: HealthAggregator, formatter: HealthFormatter) => {
            const intake = new HttpIntake({ contexts, clock, ids, events });
            for (const route of healthRoutes({ health, formatter, options: live, details })) intake.addRoute(route);
            intake.install(host);
            return intake;
          },
        },
      ],
      exports: [HealthAggregator, MetricsClient],
    };
  }

  async onApplicationBootstrap(): Promise<void> {
    new HealthContributorExplorer(this.modules, this.health).explore();
    await this.health.start();
    this.health.setPhase('ready');
  }

  onModuleDestroy(): void {
    this.health.setPhase('draining');
  }

  beforeApplicationShutdown(): void {
    this.health.stop();
  }
}
