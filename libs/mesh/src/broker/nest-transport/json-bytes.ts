/** Bytes as `JSON.stringify` writes a Buffer, which is how Nest's transports carry one. Everything else stays as it is. */
export function bytesRevived(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  const { type, data, ...others } = value as { readonly type?: unknown; readonly data?: unknown };
  if (type !== 'Buffer' || !Array.isArray(data) || Object.keys(others).length > 0) return value;
  return Buffer.from(data as number[]);
}
