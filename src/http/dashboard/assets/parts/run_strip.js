// The last runs of a task, oldest first: colour for how, height for how long. A picture, of which a table stands nearby:
// bars this thin would make poor links, so that a click on one is for the mouse only.
import { html } from '../core/html.js';
import { navigate } from '../core/router.js';
import { duration, secondsBetween } from '../core/time.js';
import { STATUSES } from './status.js';

const HEIGHT = 28;
const MOST = 20;

/** @param {Summary} one */
const took = (one) => (one.started_at ? secondsBetween(one.started_at, one.finished_at) : 0);

/** @param {{runs: Summary[]}} props newest first */
export function RunStrip({ runs }) {
    const shown = runs.slice(0, MOST).reverse();
    if (shown.length === 0) return html`<span class="faint">No runs yet</span>`;
    const longest = Math.max(...shown.map(took), 0.001);
    const counts = STATUSES.map((status) => [shown.filter((one) => one.status === status).length, status]).filter(([count]) => count);
    return html`<svg class="strip" viewBox=${`0 0 240 ${HEIGHT}`} role="img" aria-label=${`Last runs: ${counts.map((one) => one.join(' ')).join(', ')}`}>
        ${shown.map((one, at) => {
            const height = Math.max(5, (took(one) / longest) * HEIGHT);
            return html`<rect key=${one.id} class=${one.status} x=${at * 12} y=${HEIGHT - height} width="9" height=${height} rx="2" onClick=${() => navigate(`/instances/${one.number}`)}>
                <title>${`${one.number}: ${one.status}${one.started_at ? `, ${duration(took(one))}` : ''}`}</title>
            </rect>`;
        })}
    </svg>`;
}
