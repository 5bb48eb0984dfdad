import { describe, expect, it } from 'vitest';
import type { MeshComponent } from '../core/component.port.js';
import { fromComponent } from './component.contributor.js';

describe('fromComponent', () => {
  it('is nothing for a component without a check', () => {
    expect(fromComponent({ name: 'ledger', start: () => undefined })).toBeUndefined();
  });

  it("asks the component's own check, in its time and under its name", async () => {
    class Ledger implements MeshComponent {
      readonly name = 'ledger';
      readonly timeouts = { checkMs: 250 };
      readonly #reason = 'it is full';
      check = () => ({ status: 'degraded' as const, reason: this.#reason });
    }
    const contributor = fromComponent(new Ledger(), { live: 'optional' })!;
    expect(contributor).toMatchObject({ name: 'ledger', timeoutMs: 250, groups: { live: 'optional' } });
    const { signal } = new AbortController();
    expect(await contributor.check!({ signal })).toEqual({ status: 'degraded', reason: 'it is full' });
  });

  it('leaves time and groups to the defaults of health', () => {
    const contributor = fromComponent({ name: 'ledger', check: () => ({ status: 'up' }) });
    expect(Object.keys(contributor!)).toEqual(['name', 'check']);
  });
});
