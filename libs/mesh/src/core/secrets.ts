/** Stands in the place of what must not be shown. */
export const MASK = '***';

/** Of a name in lower case, without `-` and `_`. */
const SECRET_NAME =
  /(?:password(?:hash)?|passwd|passphrase|pwd|(?<!by|com|over|under|sur|tres)pass|secret|token|credential|authorization|cookie|(?:api|access|private|secret|signing)key)s?$/;

/** Whether what stands under this name sounds like a secret: `clientSecret`, `x-api-key`, `DB_PASSWORD`. */
export function isSecretName(name: string): boolean {
  return SECRET_NAME.test(plainName(name));
}

/** As {@link isSecretName}, unless the value is no secret: nothing, a flag, a count (`tokens: 3`). */
export function isSecret(name: string, value: unknown): boolean {
  return couldBeSecret(name, value) && isSecretName(name);
}

/** Whether such a value can be a secret at all, whatever its name sounds like. */
export function couldBeSecret(name: string, value: unknown): boolean {
  if (value === undefined || value === null || typeof value === 'boolean') return false;
  return !(typeof value === 'number' && /s$/i.test(name));
}

/** A name as it is compared: `X-Api-Key` and `xApiKey` are one. */
export function plainName(name: string): string {
  return name.replaceAll(/[-_]/g, '').toLowerCase();
}

type Rule = readonly [secret: RegExp, masked: string];

// Bounded, here and below: a hostile text must not make them slow.
const IN_URLS: readonly Rule[] = [
  // Up to the last "@", as people do not encode one, nor a "/", in a password …
  [/\b(?!https?:|wss?:)([a-z][a-z\d+.-]{0,30}:\/\/)[^\s"]{0,300}@/gi, `$1${MASK}@`],
  // … but in the web's own URLs either may stand in the path: up to the first, or from a ":" that begins no port.
  [/\b((?:https?|wss?):\/\/)(?:[^\s"/?#]{1,300}@|[^\s"/?#:@]{0,300}:(?!\d{1,5}[/?#])[^\s"]{0,300}@)/gi, `$1${MASK}@`],
  [/([?&][^=&\s"]{0,40}(?:password|passwd|secret|token|key|signature)[^=&\s"]{0,40}=)[^&\s"]+/gi, `$1${MASK}`],
];

const IN_HEADERS: readonly Rule[] = [
  // With a digit, or "basic authentication" would be one.
  [/\b(bearer|basic)\s+(?=[\w+/.=~-]{0,200}\d)[\w+/.=~-]{6,}/gi, `$1 ${MASK}`],
];

const IN_ASSIGNMENTS: readonly Rule[] = [
  [
    /([\w-]{0,40}(?:password|passwd|pwd|secret|token|(?:api|access)[-_]?key|authorization)["']?\s*[=:]\s*)(?!bearer \*|basic \*)("[^"]*"|'[^']*'|[^\s,;&"'}]+)/gi,
    `$1${MASK}`,
  ],
];

/** The text without credentials in URLs and headers. What was JSON stays JSON. */
export function maskCredentials(text: string): string {
  // Every log line comes through here and most hold none of these; looking for a word is cheaper than for an expression.
  const inUrls = text.includes('://') || text.includes('=') ? replaced(text, IN_URLS) : text;
  return inUrls.includes('earer ') || inUrls.includes('asic ') ? replaced(inUrls, IN_HEADERS) : inUrls;
}

/** The text without credentials, those that are told by their name (`password=…`) included. */
export function maskText(text: string): string {
  return replaced(maskCredentials(text), IN_ASSIGNMENTS);
}

function replaced(text: string, rules: readonly Rule[]): string {
  return rules.reduce((masked, [secret, mask]) => masked.replace(secret, mask), text);
}
