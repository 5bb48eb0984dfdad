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
    const contributor = fromComponent(new Ledger())!;
    expect(contributor).toMatchObject({ name: 'ledger', timeoutMs: 250 });
    const { signal } = new AbortController();
    expect(await contributor.check!({ signal })).toEqual({ status: 'degraded', reason: 'it is full' });
  });

  it('leaves the rest to the defaults of health', () => {
    const contributor = fromComponent({ name: 'ledger', check: () => ({ status: 'up' }) });
    expect(Object.keys(contributor!)).toEqual(['name', 'check']);
  });
});
