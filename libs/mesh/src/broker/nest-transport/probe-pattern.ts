/**
 * Where it is asked whether somebody serves a pattern: a service of Nest without the mesh would take the question on the
 * pattern itself for a request, and run its handler.
 */
export function probePattern(pattern: string): string {
  return `mesh.probe.${pattern}`;
}
