// The last runs of a task, oldest first: colour for how, height for how long.
import { html } from '../core/html.js';
import { url } from '../core/base.js';
import { duration, secondsBetween } from '../core/time.js';

/** @param {Summary} one */
const took = (one) => (one.started_at ? secondsBetween(one.started_at, one.finished_at) : 0);

/** @param {{runs: Summary[]}} props newest first */
export function RunStrip({ runs }) {
    if (runs.length === 0) return html`<span class="faint">No runs yet</span>`;
    const longest = Math.max(...runs.map(took), 0.001);
    return html`<ol class="strip">
        ${[...runs].reverse().map((one) => {
            const told = `${one.number}: ${one.status}${one.started_at ? `, ${duration(took(one))}` : ''}`;
            const step = Math.max(1, Math.ceil((took(one) / longest) * 4));
            return html`<li key=${one.id}><a class=${`${one.status} h${step}`} href=${url(`/instances/${one.number}`)} title=${told} aria-label=${told}></a></li>`;
        })}
    </ol>`;
}
