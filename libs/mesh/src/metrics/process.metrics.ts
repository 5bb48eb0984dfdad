import { readdirSync, readFileSync } from 'node:fs';
import { constants, createHistogram, PerformanceObserver } from 'node:perf_hooks';
import type { EventLoopSampler } from '../core/event-loop.sampler.js';
import type { Gauge, Histogram, MetricsClient } from '../core/metrics.port.js';

const GC_BUCKETS = [0.001, 0.01, 0.1, 1, 2, 5];
const GC_KINDS: Readonly<Record<number, string>> = {
  [constants.NODE_PERFORMANCE_GC_MAJOR]: 'major',
  [constants.NODE_PERFORMANCE_GC_MINOR]: 'minor',
  [constants.NODE_PERFORMANCE_GC_INCREMENTAL]: 'incremental',
  [constants.NODE_PERFORMANCE_GC_WEAKCB]: 'weakcb',
};

/**
 * CPU, memory, event loop delay, garbage collection and handles of the process, under the names that dashboards for
 * prom-client know. Unlike prom-client's own it can be stopped, and then nothing of it is left running.
 */
export class ProcessMetrics {
  readonly #metrics: MetricsClient;
  readonly #eventLoop: EventLoopSampler;
  /** Since the last scrape, in microseconds. */
  readonly #delay = createHistogram();
  #readers: (() => void)[] | undefined;
  #stop: (() => void) | undefined;

  constructor(metrics: MetricsClient, eventLoop: EventLoopSampler) {
    this.#metrics = metrics;
    this.#eventLoop = eventLoop;
  }

  start(): void {
    if (this.#stop) return;
    // Made once: counters of the system's totals must go on from where they stood.
    const readers = (this.#readers ??= this.#define());
    // A histogram takes no 0.
    const rest = this.#eventLoop.onSample((delayMs) => this.#delay.record(Math.max(1, Math.round(delayMs * 1_000))));
    const gc = this.#observeGc();
    const unsubscribe = this.#metrics.onCollect(() => {
      for (const read of readers) read();
    });
    this.#stop = () => {
      unsubscribe();
      gc.disconnect();
      rest();
    };
  }

  stop(): void {
    this.#stop?.();
    this.#stop = undefined;
  }

  #define(): (() => void)[] {
    this.#version();
    return [this.#cpu(), this.#memory(), this.#loop(), this.#resources(), this.#files()];
  }

  #cpu(): () => void {
    const counter = (name: string, help: string): ((total: number) => void) => {
      const series = this.#metrics.counter({ name, help }).with({});
      let shown = 0;
      return (total) => {
        if (total > shown) series.inc(total - shown);
        shown = Math.max(shown, total);
      };
    };
    const user = counter('process_cpu_user_seconds_total', 'CPU time of the process in user mode.');
    const system = counter('process_cpu_system_seconds_total', 'CPU time of the process in system mode.');
    const total = counter('process_cpu_seconds_total', 'CPU time of the process.');
    this.#gauge('process_start_time_seconds', 'When the process started, in Unix time.').set(
      Math.round(performance.timeOrigin / 1_000),
    );
    return () => {
      const used = process.cpuUsage();
      user(used.user / 1e6);
      system(used.system / 1e6);
      total((used.user + used.system) / 1e6);
    };
  }

  #memory(): () => void {
    const resident = this.#gauge('process_resident_memory_bytes', 'Memory of the process that is in RAM.');
    const heapTotal = this.#gauge('nodejs_heap_size_total_bytes', 'Size of the JavaScript heap.');
    const heapUsed = this.#gauge('nodejs_heap_size_used_bytes', 'Used part of the JavaScript heap.');
    const external = this.#gauge(
      'nodejs_external_memory_bytes',
      'Memory outside of the heap that JavaScript objects hold.',
    );
    return () => {
      const usage = process.memoryUsage();
      resident.set(usage.rss);
      heapTotal.set(usage.heapTotal);
      heapUsed.set(usage.heapUsed);
      external.set(usage.external);
    };
  }

  /** Each scrape shows what happened since the one before. */
  #loop(): () => void {
    const delay = this.#delay;
    const gauge = (name: string, what: string): Gauge =>
      this.#gauge(`nodejs_eventloop_lag_${name}seconds`, `${what} of the event loop since the last scrape.`);
    const mean = gauge('mean_', 'Mean delay');
    const max = gauge('max_', 'Largest delay');
    const p50 = gauge('p50_', 'Median delay');
    const p99 = gauge('p99_', '99th percentile of the delay');
    const utilization = this.#gauge(
      'nodejs_eventloop_utilization_ratio',
      'Share of time since the last scrape in which the event loop was busy.',
    );
    let before = performance.eventLoopUtilization();
    return () => {
      // An empty histogram has no mean.
      const seconds = (microseconds: number): number => (Number.isFinite(microseconds) ? microseconds / 1e6 : 0);
      mean.set(seconds(delay.mean));
      max.set(seconds(delay.max));
      p50.set(seconds(delay.percentile(50)));
      p99.set(seconds(delay.percentile(99)));
      delay.reset();
      const now = performance.eventLoopUtilization();
      utilization.set(performance.eventLoopUtilization(now, before).utilization);
      before = now;
    };
  }

  #resources(): () => void {
    const active = this.#metrics.gauge({
      name: 'nodejs_active_resources',
      help: 'Timers, sockets, requests and the like that keep the event loop busy, by type.',
      labels: ['type'],
    });
    const seen = new Map<string, Gauge>();
    return () => {
      for (const gauge of seen.values()) gauge.set(0);
      for (const type of process.getActiveResourcesInfo()) {
        let gauge = seen.get(type);
        if (!gauge) seen.set(type, (gauge = active.with({ type })));
        gauge.inc();
      }
    };
  }

  #files(): () => void {
    const open = this.#gauge('process_open_fds', 'Open file descriptors; 0 where the system does not tell.');
    const limit = this.#gauge('process_max_fds', 'File descriptors that the process may have; 0 where unknown.');
    limit.set(maxOpenFiles());
    return () => open.set(openFiles());
  }

  #version(): void {
    const [major = '', minor = '', patch = ''] = process.versions.node.split('.');
    this.#metrics
      .gauge({
        name: 'nodejs_version_info',
        help: 'Version of Node.js.',
        labels: ['version', 'major', 'minor', 'patch'],
      })
      .with({ version: process.version, major, minor, patch })
      .set(1);
  }

  #observeGc(): PerformanceObserver {
    const durations = this.#metrics.histogram({
      name: 'nodejs_gc_duration_seconds',
      help: 'How long garbage collections took, by kind.',
      labels: ['kind'],
      buckets: GC_BUCKETS,
    });
    const handles = new Map<number, Histogram>();
    const observer = new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) {
        const kind = (entry as { readonly detail?: { readonly kind?: number } }).detail?.kind ?? 0;
        let handle = handles.get(kind);
        if (!handle) handles.set(kind, (handle = durations.with({ kind: GC_KINDS[kind] ?? 'other' })));
        handle.observe(entry.duration / 1_000);
      }
    });
    observer.observe({ entryTypes: ['gc'] });
    return observer;
  }

  #gauge(name: string, help: string): Gauge {
    return this.#metrics.gauge({ name, help }).with({});
  }
}

function openFiles(): number {
  try {
    // The listing itself opens one.
    return readdirSync('/proc/self/fd').length - 1;
  } catch {
    return 0;
  }
}

function maxOpenFiles(): number {
  try {
    return Number(/^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1] ?? 0);
  } catch {
    return 0;
  }
}
