import type { MetricsClient } from '../core/metrics.port.js';
import type { ServiceInfo } from '../core/service-info.js';

/**
 * Says once which service this is, instead of on every series: join on it (`* on (instance) group_left (service)
 * mesh_build_info`) where the scrape's own labels do not say so already.
 */
export function exposeServiceInfo(metrics: MetricsClient, service: ServiceInfo): void {
  metrics
    .gauge({
      name: 'mesh_build_info',
      help: 'Constant 1 with the name, instance and version of the service and the version of Node.js.',
      labels: ['service', 'service_instance', 'version', 'node_version'],
    })
    .with({
      service: service.name,
      service_instance: service.instance,
      version: service.version ?? '',
      node_version: process.version,
    })
    .set(1);
}
