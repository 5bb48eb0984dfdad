import { isObservable, lastValueFrom } from 'rxjs';

/** What a handler answers in the end: the value of its promise, or the last value of its Observable. Nothing is `undefined`. */
export async function handlerResult(returned: unknown): Promise<unknown> {
  const value = await returned;
  return isObservable(value) ? lastValueFrom(value, { defaultValue: undefined }) : value;
}

export function isPromiseLike(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function';
}
