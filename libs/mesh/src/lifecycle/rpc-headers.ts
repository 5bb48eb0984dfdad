import { CONTEXT_HEADER } from '../core/context-headers.js';
import type { ContextHeaders } from './inbound-context.js';

type Values = Readonly<Record<string, unknown>>;

/** Where Nest's transports keep the headers of a message; each has one of these and lacks the others. */
interface RpcContext {
  /** TCP, Redis. */
  getMetadata?(): unknown;
  /** NATS. */
  getHeaders?(): unknown;
  /** RabbitMQ, Kafka. */
  getMessage?(): { readonly properties?: { readonly headers?: unknown }; readonly headers?: unknown } | undefined;
  /** MQTT 5. */
  getPacket?(): { readonly properties?: { readonly userProperties?: unknown } } | undefined;
  /** gRPC. */
  readonly metadata?: { getMap?(): unknown };
}

/**
 * The headers of a message that a transport of Nest's brought in, as those of an HTTP request: what the mesh's broker
 * sends along with a message goes by other names than with a request, and either may come.
 */
export function rpcHeaders(context: unknown): ContextHeaders {
  const values = textsOf(valuesIn((context ?? {}) as RpcContext));
  const { correlationId, timeoutMs } = CONTEXT_HEADER;
  return {
    ...values,
    ...(values[correlationId] !== undefined && { 'x-correlation-id': values[correlationId] }),
    ...(values[timeoutMs] !== undefined && { 'x-mesh-timeout-ms': values[timeoutMs] }),
  };
}

function valuesIn(context: RpcContext): unknown {
  if (context.getMetadata) return context.getMetadata();
  if (context.getHeaders) return natsHeaders(context.getHeaders());
  if (context.getMessage) {
    const message = context.getMessage();
    return message?.properties?.headers ?? message?.headers;
  }
  if (context.getPacket) return context.getPacket()?.properties?.userProperties;
  return context.metadata?.getMap?.();
}

/** NATS has several values to a name; `get` gives the first. */
function natsHeaders(headers: unknown): Values {
  const { keys, get } = (headers ?? {}) as { keys?(): string[]; get?(name: string): string };
  const names = keys?.call(headers) ?? [];
  return Object.fromEntries(names.map((name) => [name, get?.call(headers, name)]));
}

/** Kafka's values are buffers. Whatever else is no text makes no header. */
function textsOf(values: unknown): Record<string, string> {
  const texts: Record<string, string> = {};
  if (typeof values !== 'object' || values === null) return texts;
  for (const [name, value] of Object.entries(values))
    if (typeof value === 'string' || Buffer.isBuffer(value)) texts[name] = String(value);
  return texts;
}
