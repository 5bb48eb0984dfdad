import { PrometheusModule } from '@willsoto/nestjs-prometheus';
import type { DynamicModule } from '@nestjs/common';

/**
 * @willsoto/nestjs-prometheus for its providers (`makeCounterProvider`, `@InjectMetric` ...) and nothing else: no route,
 * because the mesh serves its own, no default metrics, and not global, so that a host's own `PrometheusModule.register()`
 * and its prefix stay the ones that the host's providers see.
 */
export function prometheusModule(): DynamicModule {
  const module = PrometheusModule.register({ controller: NoController, defaultMetrics: { enabled: false } });
  return { ...module, controllers: [] };
}

/** `register()` writes its path onto the controller's class: this one keeps it off the class that the host's module uses. */
class NoController {}
