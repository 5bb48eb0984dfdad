import type { MessageBroker, MessageHandler, MessagePattern, RequestHandler } from '../core/broker.port.js';
import { traceOf } from '../core/trace-context.js';
import type { TracedWork } from './traced-work.js';

/**
 * Puts a span around each request, publication, and run of a handler: any broker's, the user's own included. It replaces
 * the methods of this one object, so that it stays the object that everybody has; call it before handlers are connected.
 */
export function traceBroker(broker: MessageBroker, work: TracedWork, system: string): void {
  const request = broker.request.bind(broker);
  const publish = broker.publish.bind(broker);
  const serve = broker.serve.bind(broker);
  const subscribe = broker.subscribe.bind(broker);

  broker.request = (pattern, payload, options) => {
    const name = nameOf(pattern);
    return work.outgoing({ name: `request ${name}`, kind: 'client', attributes: rpc(system, name) }, (span) => {
      const headers = work.headers(span, options?.headers);
      return request(pattern, payload, headers ? { ...options, headers } : options);
    });
  };

  broker.publish = (topic, payload, options) =>
    work.outgoing(
      { name: `publish ${topic}`, kind: 'producer', attributes: messaging(system, topic, 'send') },
      (span) => {
        const headers = work.headers(span, options?.headers);
        return publish(topic, payload, headers ? { ...options, headers } : options);
      },
    );

  broker.serve = (pattern, handler, options) => {
    const name = nameOf(pattern as MessagePattern);
    const description = { name: `handle ${name}`, kind: 'server', attributes: rpc(system, name) } as const;
    const traced: RequestHandler = (payload, message) =>
      work.incoming({ ...description, parent: message && traceOf(message.headers) }, () => handler(payload, message));
    return serve(pattern, traced, { ...options, name: options?.name ?? (handler.name || 'anonymous') });
  };

  broker.subscribe = (topic, handler, options) => {
    const description = {
      name: `process ${topic}`,
      kind: 'consumer',
      attributes: messaging(system, topic, 'process'),
    } as const;
    const traced: typeof handler = (payload, message) =>
      work.incoming({ ...description, parent: traceOf(message.headers) }, (span) => {
        span.set('messaging.message.id', message.id);
        span.set('mesh.message.attempt', message.attempt);
        return handler(payload, message);
      });
    return subscribe(topic, traced, {
      ...options,
      name: options?.name ?? nameOfHandler(handler as MessageHandler<never>),
    });
  };
}

function nameOf(pattern: MessagePattern): string {
  return typeof pattern === 'string' ? pattern : JSON.stringify(pattern);
}

function nameOfHandler(handler: MessageHandler<never>): string {
  return handler.name || 'anonymous';
}

/** @see https://opentelemetry.io/docs/specs/semconv/rpc/ */
function rpc(system: string, method: string): Readonly<Record<string, string>> {
  return { 'rpc.system': 'nestjs-mesh', 'rpc.method': method, 'network.transport': system };
}

/** @see https://opentelemetry.io/docs/specs/semconv/messaging/ */
function messaging(system: string, topic: string, operation: string): Readonly<Record<string, string>> {
  return {
    'messaging.system': system,
    'messaging.destination.name': topic,
    'messaging.operation.type': operation,
  };
}
