// Times and durations as people read them.
import { html, signal } from './html.js';

/** The present in ms, a second apart; stands still while the tab is hidden. */
export const now = signal(Date.now());

setInterval(() => {
    if (!document.hidden) now.value = Date.now();
}, 1000);
document.addEventListener('visibilitychange', () => (now.value = Date.now()));

const UNITS = /** @type {const} */ ([
    ['d', 86_400],
    ['h', 3_600],
    ['m', 60],
    ['s', 1],
]);

/** Seconds as `350 ms`, `4.2 s`, `3 m 12 s`, `2 d 4 h`. @param {number} seconds */
export function duration(seconds) {
    if (!(seconds > 0)) return '0 s';
    if (seconds < 0.9995) return `${Math.max(1, Math.round(seconds * 1000))} ms`;
    if (seconds < 9.95) return `${Number(seconds.toFixed(1))} s`;
    const whole = Math.round(seconds);
    const at = UNITS.findIndex(([, size]) => whole >= size);
    const [unit, size] = UNITS[at];
    const next = UNITS[at + 1];
    const rest = next && Math.floor((whole % size) / next[1]);
    return `${Math.floor(whole / size)} ${unit}${rest ? ` ${rest} ${next[0]}` : ''}`;
}

/** Seconds between two RFC 3339 times; to now, if the second is missing. @param {string} from @param {string | null} [to] */
export const secondsBetween = (from, to) => ((to ? Date.parse(to) : now.value) - Date.parse(from)) / 1000;

/** How long ago, as `now`, `12 s ago`, `in 3 m`: one unit. @param {number} seconds */
export function ago(seconds) {
    const away = Math.abs(seconds);
    if (away < 1.5) return 'now';
    const [unit, size] = UNITS.find(([, least]) => away >= least) ?? UNITS[3];
    const text = `${Math.floor(away / size)} ${unit}`;
    return seconds < 0 ? `in ${text}` : `${text} ago`;
}

const CLOCK = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' });

/** The reader's own clock. @param {string} at */
export const absolute = (at) => CLOCK.format(new Date(at));

/** A time, relative to now, with the exact one as its title. @param {{at: string}} props */
export const Ago = ({ at }) => html`<time datetime=${at} title=${absolute(at)}>${ago(secondsBetween(at))}</time>`;

/** How long something took, or has taken up to now. @param {{from: string, to?: string | null}} props */
export function Elapsed({ from, to }) {
    const seconds = secondsBetween(from, to);
    // What still goes on is counted in whole seconds, so that it does not flicker.
    return html`<span class="num">${duration(to ? seconds : Math.max(0, Math.floor(seconds)))}</span>`;
}
