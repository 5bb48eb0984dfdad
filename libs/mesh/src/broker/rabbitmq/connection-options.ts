import { readFileSync } from 'node:fs';
import type { ConnectionOptions } from 'rabbitmq-client';
import type { RabbitMqBrokerOptions } from '../broker.options.js';

const FIRST_RECONNECT_MS = 100;
const LONGEST_RECONNECT_MS = 5_000;
const CONNECT_TIMEOUT_MS = 5_000;
const PORT = 5672;
const TLS_PORT = 5671;
/** The server's own default; the client's is 8 KiB, which large messages would be cut into. */
const FRAME_BYTES = 131_072;

/** As the client takes them: it tries the servers in turn, for ever, with growing and jittered pauses. */
export function connectionOptions(options: RabbitMqBrokerOptions, connectionName: string): ConnectionOptions {
  const { user, password, vhost, tls, heartbeatMs } = options;
  const addresses = addressesOf(options);
  const first = addresses[0]!;
  const isEncrypted = tls !== undefined || first.protocol === 'amqps:';
  return {
    hosts: addresses.map(({ hostname, port }) => `${hostname}:${port || (isEncrypted ? TLS_PORT : PORT)}`),
    username: decodeURIComponent(first.username) || user,
    password: decodeURIComponent(first.password) || password,
    vhost: decodeURIComponent(first.pathname.slice(1)) || vhost,
    connectionName,
    // Without it, a round trip can take 40 ms longer.
    noDelay: true,
    heartbeat: heartbeatMs / 1_000,
    frameMax: FRAME_BYTES,
    connectionTimeout: CONNECT_TIMEOUT_MS,
    acquireTimeout: CONNECT_TIMEOUT_MS,
    retryLow: FIRST_RECONNECT_MS,
    retryHigh: LONGEST_RECONNECT_MS,
    ...(isEncrypted && { tls: tlsOptions(tls) }),
  };
}

/** The servers by host and port: without user and password. */
export function serverNames(options: RabbitMqBrokerOptions): string {
  return addressesOf(options)
    .map(({ host }) => host)
    .join(', ');
}

function addressesOf({ servers }: RabbitMqBrokerOptions): URL[] {
  return (typeof servers === 'string' ? [servers] : servers).map((server) => new URL(server));
}

function tlsOptions(tls: RabbitMqBrokerOptions['tls']) {
  const { caFile, certFile, keyFile } = tls ?? {};
  return {
    ...(caFile !== undefined && { ca: readFileSync(caFile) }),
    ...(certFile !== undefined && { cert: readFileSync(certFile) }),
    ...(keyFile !== undefined && { key: readFileSync(keyFile) }),
  };
}
