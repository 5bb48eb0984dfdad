/**
 * What was thrown says of itself: an error its message, anything else its text. Never throws. What Node makes of several
 * addresses that failed has no message; its code, then its name, stand in for one.
 */
export function messageOf(thrown: unknown): string {
  try {
    if (!(thrown instanceof Error)) return String(thrown);
    return thrown.message || String((thrown as { readonly code?: unknown }).code ?? thrown.name);
  } catch {
    return 'something was thrown that has no text';
  }
}

/** The same as the end of a sentence that goes on: without a full stop. */
export function reasonOf(thrown: unknown): string {
  return messageOf(thrown).replace(/\.$/, '');
}
