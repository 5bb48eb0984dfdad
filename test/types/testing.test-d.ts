import type { CircuitBreakerManager, PolicyOptions } from 'nestjs-mesh';
import { MeshTestingModule, MeshTestKit } from 'nestjs-mesh/testing';

declare const kit: MeshTestKit;
declare const breakers: CircuitBreakerManager;

// The builder is Nest's own: what follows is too.
const module = await MeshTestingModule.createTestingModule({ imports: [] }, { env: { MESH_CACHE__TTL_MS: '1' } })
  .overrideProvider('LEDGER')
  .useValue({})
  .compile();
module.get(MeshTestKit).clock.jump(1);

const delays: readonly number[] = kit.events('call.retry').map(({ delayMs }) => delayMs);
void delays;
// @ts-expect-error -- no event of the mesh
kit.events('call.retri');

kit.breaker('p').expectTransitions('open', 'half-open');
// @ts-expect-error -- not a state
kit.breaker('p').expectState('opened');
// @ts-expect-error -- not a kind of outage
kit.cache.takeSecondTierAway('slow');
// @ts-expect-error -- the number stands in the options
kit.policy('p').fails(new Error('x'), 2);

// Faults are a matter of the running system, not of the code.
const fault: PolicyOptions['fault'] = { errorRatio: 0.5, ttlMs: 1_000 };
breakers.declare('p', { timeoutMs: 800 }, 'Code');
// @ts-expect-error -- no declaration has one
breakers.declare('p', { timeoutMs: 800, fault }, 'Code');
using lift = breakers.policy('p').injectFaults(({ attempt }) => (attempt === 1 ? { delayMs: 10 } : undefined));
void lift;
