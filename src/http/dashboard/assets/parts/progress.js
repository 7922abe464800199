// How far an instance is. A task that never said so has no bar: a false one is worse than none.
import { html } from '../core/html.js';

/** @param {number} progress */
export const percent = (progress) => `${Math.floor(progress * 100)} %`;

/** @param {{of: Summary, wide?: boolean}} props */
export function Progress({ of, wide = false }) {
    const told = of.progress > 0;
    const message = of.status === 'failed' ? of.error?.message : of.message;
    return html`<div class=${`progress ${of.status}${wide ? ' wide' : ''}`}>
        ${told && html`<progress max="1" value=${of.progress} aria-label=${`Progress of ${of.number}`}></progress>
            <span class="num percent">${percent(of.progress)}</span>`}
        ${message && html`<span class="message" title=${message}>${message}</span>`}
    </div>`;
}
