// Why something was refused, shown where it was asked.
import { html } from '../core/html.js';
import { Refused } from '../core/api.js';
import { Icon } from './icon.js';

/** @param {Fault} fault */
const place = (fault) => fault.pointer || fault.parameter;

/** @param {{error: unknown, retry?: () => void}} props */
export function ProblemNote({ error, retry }) {
    if (!error) return null;
    const problem = error instanceof Refused ? error.problem : null;
    const detail = problem?.detail ?? (error instanceof Error ? error.message : String(error));
    return html`<div class="problem" role="alert">
        <${Icon} name="warning" />
        <div>
            ${problem && html`<strong>${problem.title}</strong>`}
            <p>${detail}</p>
            ${problem?.errors?.length &&
            html`<ul>${problem.errors.map((fault) => html`<li>${place(fault) && html`<code>${place(fault)}</code> `}${fault.detail}</li>`)}</ul>`}
            ${problem?.request_id && html`<small>Request <code>${problem.request_id}</code></small>`}
        </div>
        ${retry && !(problem && problem.status < 500) && html`<button type="button" onClick=${retry}>Try again</button>`}
    </div>`;
}
