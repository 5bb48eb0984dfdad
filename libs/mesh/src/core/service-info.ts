/** Who this process is: in logs, metrics, messages and headers. */
export class ServiceInfo {
  constructor(
    /** The service's name, the same in every instance. */
    readonly name: string,
    /** Distinguishes the instances of the service. */
    readonly instance: string,
    readonly version?: string,
  ) {}
}
