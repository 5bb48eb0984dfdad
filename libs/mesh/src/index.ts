export { Clock, SystemClock, type Timer, type TimerOptions } from './core/clock.js';
