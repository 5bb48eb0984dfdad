/**
 * Marks the RPC context of a message whose sender is in this process: errors then pass by reference, with their class.
 * Every other context is taken for a remote one, where an error crosses a wire.
 */
export const IN_PROCESS: unique symbol = Symbol.for('nestjs-mesh.in-process');

/** Whether the context that Nest hands to a message handler carries the mark {@link IN_PROCESS}. */
export function isInProcess(rpcContext: unknown): boolean {
  return (
    typeof rpcContext === 'object' &&
    rpcContext !== null &&
    (rpcContext as { readonly [IN_PROCESS]?: unknown })[IN_PROCESS] === true
  );
}
