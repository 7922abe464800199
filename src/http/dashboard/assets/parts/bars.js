// What happened lately, a bar a stretch of time.
import { html } from '../core/html.js';

const HEIGHT = 64;
const PARTS = /** @type {const} */ (['completed', 'failed', 'cancelled']);

/** @param {string} at */
const clock = (at) => new Date(at).toLocaleTimeString(undefined, { hour: '2-digit', minute: '2-digit' });

/** @param {{buckets: StatsBucket[], label: string}} props */
export function Bars({ buckets, label }) {
    const total = (/** @type {StatsBucket} */ one) => one.completed + one.failed + one.cancelled;
    const highest = Math.max(1, ...buckets.map(total));
    const sums = PARTS.map((part) => `${buckets.reduce((sum, one) => sum + one[part], 0)} ${part}`).join(', ');
    return html`<figure class="bars">
        <svg viewBox=${`0 0 ${buckets.length * 10} ${HEIGHT}`} preserveAspectRatio="none" role="img" aria-label=${`${label}: ${sums}`}>
            ${buckets.map((one, at) => {
                let top = HEIGHT;
                return html`<g>
                    <title>${`${clock(one.start)}: ${one.started} started, ${PARTS.map((part) => `${one[part]} ${part}`).join(', ')}`}</title>
                    <rect class="ground" x=${at * 10} y="0" width="10" height=${HEIGHT} />
                    ${PARTS.map((part) => {
                        if (!one[part]) return null;
                        const height = Math.max(1.5, (one[part] / highest) * (HEIGHT - 4));
                        top -= height;
                        return html`<rect class=${part} x=${at * 10 + 1} y=${top} width="8" height=${height} />`;
                    })}
                </g>`;
            })}
        </svg>
        <figcaption>
            <span>${buckets.length > 0 && clock(buckets[0].start)}</span>
            <span class="legend">${PARTS.map((part) => html`<span class=${`key ${part}`}>${part}</span>`)}</span>
            <span>now</span>
        </figcaption>
    </figure>`;
}
