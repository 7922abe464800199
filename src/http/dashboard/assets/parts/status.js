// How an instance is: a sign, a word and a colour.
import { html } from '../core/html.js';
import { Icon } from './icon.js';

/** @type {Status[]} */
export const STATUSES = ['pending', 'running', 'completed', 'failed', 'cancelled'];

/** @type {Record<string, string>} */
const REASONS = {
    unknown_task: 'task unknown',
    retrying: 'retrying',
    scheduled: 'scheduled',
    concurrency: 'concurrency limit',
    slots: 'waits for a slot',
};

/** What is to be said beside the status, or nothing. @param {Summary} of */
export function aside(of) {
    if (of.status === 'pending') return REASONS[of.pending_reason ?? ''] ?? '';
    if (of.status === 'running' && of.stop_requested_at) return 'stopping';
    return of.attempt > 1 ? `attempt ${of.attempt}` : '';
}

/** @param {{name: Status}} props */
export const StatusWord = ({ name }) =>
    html`<span class=${`status ${name}`}><${Icon} name=${name} /><span class="word">${name}</span></span>`;

/** @param {{of: Summary}} props */
export function InstanceStatus({ of }) {
    const more = aside(of);
    return html`<span class="statusline"><${StatusWord} name=${of.status} />${more && html` <small>${more}</small>`}</span>`;
}
