/** How many of the latest events of each name are kept to be looked at. */
export const MAX_EVENTS_PER_NAME = 100;

/** How many events may wait for the end of a turn of the event loop to be sent; of more only the latest are. */
export const MAX_UNSENT_EVENTS = 500;

/** How long a request body may be. */
export const MAX_BODY_BYTES = 256 * 1024;

/** Wrong tokens from one address after which nobody from there is listened to for {@link LOCK_OUT_MS}. */
export const MAX_WRONG_TOKENS = 10;
export const LOCK_OUT_MS = 60_000;

/** Of how many addresses wrong tokens are remembered at a time. */
export const MAX_WATCHED_ADDRESSES = 1_000;

/** How many event streams may be open at a time. */
export const MAX_STREAMS = 20;

/** How much a client of the stream may leave unread before it is dropped. */
export const MAX_UNREAD_BYTES = 256 * 1024;

/** How often a silent stream says that it is alive, so that proxies keep it open. */
export const HEARTBEAT_MS = 15_000;

/** The client's wait before it connects again, to whichever instance then serves. */
export const RECONNECT_MS = 1_000;
