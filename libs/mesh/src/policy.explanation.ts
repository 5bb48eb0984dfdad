import type { ConfigExplainer } from './config/config.explanation.js';
import { formatPath } from './config/config.path.js';
import type { CircuitBreakerManager } from './resilience/circuit-breaker.manager.js';

/**
 * Explains `resilience.policies.<name>.<option>`: a policy's value may come from configuration of its name, a decorator, a
 * pattern, a group or the defaults, of which the configuration alone knows no order.
 */
export function policyExplainer(breakers: Pick<CircuitBreakerManager, 'explain'>): ConfigExplainer {
  return (path, given) => {
    const [room, section, name, ...option] = path.map(String);
    if (room !== 'resilience' || section !== 'policies' || name === undefined || name.includes('*')) return undefined;
    const explained = breakers.explain(name, option.join('.'));
    if (!explained) return undefined;

    const found = [room, section, name, ...explained.path.split('.')];
    const { update } = given(found);
    const [strongest, ...overrode] = explained.origins.flatMap(({ source, value, at }) => {
      if (!at) return [{ source, value }];
      const { source: layer, value: shown, overrode: below } = given([room, ...at, ...explained.path.split('.')]);
      const isExact = at[0] === section && at[1] === name;
      return [{ source: layer, value: shown }, ...below].map((each) =>
        isExact ? each : { ...each, source: `${source} (${each.source})` },
      );
    });
    return { path: formatPath(found), value: strongest!.value, source: strongest!.source, update, overrode };
  };
}
