import { Injectable } from '@nestjs/common';
import type { Observable } from 'rxjs';
import { Fallback } from '../../libs/mesh/src/resilience/decorators/fallback.decorator.js';
import {
  Bulkhead,
  CircuitBreaker,
  RateLimit,
  Retry,
  Timeout,
} from '../../libs/mesh/src/resilience/decorators/protection.decorators.js';
import { Resilient } from '../../libs/mesh/src/resilience/decorators/resilient.decorator.js';

interface Order {
  readonly id: number;
  readonly tenant: string;
}
interface Receipt {
  readonly amount: number;
}

/** What must compile. */
@Resilient('payments')
@Injectable()
export class Accepted {
  @Resilient('payments.charge')
  async charge(_order: Order): Promise<Receipt> {
    return { amount: 1 };
  }

  @Resilient({ timeoutMs: 500, retry: { maxRetries: 1 }, idempotent: true, key: (order: Order) => order.tenant })
  keyed(_order: Order, _note?: string): Promise<Receipt> {
    return this.charge(_order);
  }

  @CircuitBreaker('payments', { failureRatio: 0.2, isFailure: (error) => error instanceof TypeError })
  @CircuitBreaker()
  @Retry({ maxRetries: 1, idempotent: true })
  @Timeout(500)
  @Bulkhead({ maxConcurrent: 5 })
  @RateLimit('shared', { limit: 5 })
  stream(): Observable<Receipt> {
    throw new Error('never runs');
  }

  @Resilient('payments', { fallback: 'later' })
  byName(_order: Order): Promise<Receipt> {
    return this.charge(_order);
  }

  later(_order: Order): Receipt {
    return { amount: 0 };
  }

  @Fallback('hidden')
  byPrivateName(): Promise<Receipt> {
    return this.hidden();
  }

  private async hidden(): Promise<Receipt> {
    return { amount: 0 };
  }

  @Fallback(() => null)
  nullable(): Promise<Receipt | null> {
    return Promise.resolve(null);
  }

  @Fallback((error: unknown, order: Order): Promise<Receipt> => Promise.resolve({ amount: order.id + Number(error) }))
  byFunction(_order: Order): Promise<Receipt> {
    return this.charge(_order);
  }

  @Fallback((): never => {
    throw new Error('translated');
  })
  thrown(): Promise<Receipt> {
    return this.hidden();
  }

  @Fallback((_error, value: string) => value)
  generic<T extends string>(value: T): Promise<string> {
    return Promise.resolve(value);
  }

  @Fallback(() => ({ amount: 0 }))
  streamOr(): Observable<Receipt> {
    return this.stream();
  }
}

/** What must not. */
export class Refused {
  // @ts-expect-error a sync method has nothing that a policy could wait for
  @CircuitBreaker('payments')
  sync(): number {
    return 1;
  }

  // @ts-expect-error nor has a void one
  @Resilient('payments')
  nothing(): void {}

  // @ts-expect-error nor one that is async only sometimes
  @Retry()
  sometimes(): Promise<number> | number {
    return 1;
  }

  // @ts-expect-error a timeout needs a number or options
  @Timeout()
  untimed(): Promise<void> {
    return Promise.resolve();
  }

  // @ts-expect-error not an option of this decorator
  @Retry({ failureRatio: 1 })
  wrongOption(): Promise<void> {
    return Promise.resolve();
  }

  // @ts-expect-error the fallback must return the type of the method
  @Fallback(() => 'later')
  wrongFunction(): Promise<Receipt> {
    return Promise.resolve({ amount: 1 });
  }

  // @ts-expect-error the fallback must return the type of the method
  @Resilient('payments', { fallback: 'text' })
  wrongName(): Promise<Receipt> {
    return Promise.resolve({ amount: 1 });
  }

  text(): string {
    return 'later';
  }

  // @ts-expect-error the fallback must be a method
  @Fallback('label')
  wrongProperty(): Promise<Receipt> {
    return Promise.resolve({ amount: 1 });
  }

  readonly label: string = 'x';

  // @ts-expect-error the fallback must take the arguments of the method
  @Fallback((_error: unknown, order: Order): Receipt => ({ amount: order.id }))
  wrongArguments(_id: number): Promise<Receipt> {
    return Promise.resolve({ amount: 1 });
  }

  // @ts-expect-error the fallback must take the arguments of the method
  @Fallback('ofOrder')
  wrongNamedArguments(_id: number): Promise<Receipt> {
    return Promise.resolve({ amount: 1 });
  }

  ofOrder(_order: Order): Receipt {
    return { amount: 1 };
  }

  // @ts-expect-error the key must be made of the arguments of the method
  @Resilient('payments', { key: (order: Order) => order.tenant })
  wrongKey(_id: number): Promise<Receipt> {
    return Promise.resolve({ amount: 1 });
  }

  // @ts-expect-error a stream can't stand in for a promise
  @Fallback((): Observable<Receipt> => new Refused().streaming())
  wrongKind(): Promise<Receipt> {
    return Promise.resolve({ amount: 1 });
  }

  streaming(): Observable<Receipt> {
    throw new Error('never runs');
  }
}

// @ts-expect-error a fallback answers for one method, not for a class
@Resilient('payments', { fallback: () => 1 })
export class RefusedClass {}
