import { z } from 'zod';

const ms = (description: string, byDefault: number) =>
  z.number().int().min(0).max(3_600_000).default(byDefault).describe(description);

const retrySchema = z
  .strictObject({
    initialMs: ms('Wait before the first background retry of an optional component, in ms.', 1_000),
    maxMs: ms('Longest wait between two background retries, in ms.', 30_000),
  })
  .refine((retry) => retry.initialMs <= retry.maxMs, {
    path: ['initialMs'],
    error: 'initialMs must not exceed maxMs',
  });

const startSchema = z.strictObject({
  componentMs: ms('How long one component may take to start, in ms, unless it says otherwise.', 15_000),
  totalMs: ms('How long all components together may take to start, in ms. Keep it under the startup probe.', 60_000),
  retry: retrySchema.prefault({}),
});

const shutdownSchema = z
  .strictObject({
    totalMs: ms('The whole shutdown, in ms: 5 s under the 30 s that Kubernetes grants by default.', 25_000),
    preStopMs: ms(
      'How long to keep serving after readiness is off, in ms, until load balancers know. Only with `preStop` on.',
      5_000,
    ),
    preStop: z
      .enum(['kubernetes', 'always', 'never'])
      .default('kubernetes')
      .describe('When the pre-stop delay applies. `never` if the pod spec has a preStop sleep of its own.'),
    intakeMs: ms('How long requests on open connections are still taken while listening stops, in ms.', 100),
    drainMs: ms('How long the work in flight may take to finish, in ms: requests first, then components.', 10_000),
    hurriedDrainMs: ms(
      'What is left of a drain after a second signal, in ms; and the least that components, and then the mesh, have for theirs.',
      1_000,
    ),
    abortMs: ms('How long aborted work may take to give up before its connections are closed, in ms.', 1_000),
    componentMs: ms('How long one component may take to stop, in ms, unless it says otherwise.', 5_000),
    flushMs: ms('How long the last log lines may take to be written, in ms.', 500),
  })
  .superRefine((shutdown, context) => {
    const { preStop, preStopMs, intakeMs, drainMs, hurriedDrainMs, abortMs, componentMs, flushMs, totalMs } = shutdown;
    // The application's components and the mesh's parts each have at least `hurriedDrainMs`, even when what drains before
    // them took all of `drainMs`.
    const drains = drainMs + 2 * hurriedDrainMs;
    const phases = (preStop === 'never' ? 0 : preStopMs) + intakeMs + drains + abortMs + componentMs + flushMs;
    if (phases <= totalMs) return;
    context.addIssue({
      code: 'custom',
      path: ['totalMs'],
      message:
        `the phases take up to ${phases} ms together (pre-stop, intake, drain and two hurried ones, abort, component, ` +
        `flush), more than the total of ${totalMs} ms; raise it with terminationGracePeriodSeconds, or lower them`,
    });
  });

/** Options of ordered start and graceful shutdown. */
export const lifecycleSchema = z.strictObject({
  start: startSchema.prefault({}),
  shutdown: shutdownSchema.prefault({}).meta({ update: 'live' }),
});

export type LifecycleOptions = z.output<typeof lifecycleSchema>;
