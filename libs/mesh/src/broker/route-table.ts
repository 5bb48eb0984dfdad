import { MeshConfigError } from '../core/mesh.errors.js';

/** Who answers what, by pattern. */
export class RouteTable<R extends { readonly name: string }> extends Map<string, R> {
  /** The patterns that are answered, by the name of their handler. */
  get handlers(): ReadonlyMap<string, string> {
    return new Map(Array.from(this, ([pattern, { name }]) => [pattern, name]));
  }

  /**
   * Returns the function that takes the route out again.
   * @throws {MeshConfigError} when the pattern has a handler already: it would be unclear who answers.
   */
  claim(pattern: string, route: R): () => void {
    const taken = this.get(pattern);
    if (taken)
      throw new MeshConfigError(
        `"${pattern}" is answered by ${taken.name} and by ${route.name}; a pattern has one handler. Rename one of them.`,
        { pattern, handlers: [taken.name, route.name] },
      );
    this.set(pattern, route);
    return () => {
      if (this.get(pattern) === route) this.delete(pattern);
    };
  }
}
