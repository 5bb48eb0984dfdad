import { declaredSchema, type PolicyDeclaration } from './resilience.options.js';

/** What is wrong with values that code declares: the same rules as in configuration, which a decorator never passes through. */
export function invalidValues(declaration: PolicyDeclaration): string[] {
  const { onlyNamed: _onlyNamed, isFailure, isFailureResult, isRetryable, idempotent, ...values } = declaration;
  const { error } = declaredSchema.safeParse(values);
  const problems = (error?.issues ?? []).map(({ path, message }) =>
    [path.join('.'), message].filter(Boolean).join(': '),
  );
  for (const [name, predicate] of Object.entries({ isFailure, isFailureResult, isRetryable }))
    if (predicate !== undefined && typeof predicate !== 'function') problems.push(`${name}: must be a function`);
  if (idempotent !== undefined && typeof idempotent !== 'boolean') problems.push('idempotent: must be true or false');
  return problems;
}
