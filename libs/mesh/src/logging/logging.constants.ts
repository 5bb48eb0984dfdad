/** How long a repeated event is counted instead of written again, in milliseconds. */
export const DEFAULT_REPEAT_WINDOW_MS = 10_000;

/** How many different events are watched for repeats at a time; beyond it every event is written. */
export const MAX_WATCHED_EVENTS = 1_000;
