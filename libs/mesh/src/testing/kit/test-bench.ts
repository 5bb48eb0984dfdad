import { TestClock } from './test-clock.js';
import { TestIds } from './test-ids.js';
import { type MeshTestingOptions, TestInput } from './test-input.js';
import { TestStore } from './test-store.js';

/** What stands in for the outside world in one test application. */
export class TestBench {
  readonly clock = new TestClock();
  readonly ids = new TestIds();
  readonly store = new TestStore(this.clock);
  readonly input: TestInput;

  constructor(options: MeshTestingOptions) {
    this.input = new TestInput(options, this.store);
  }
}
