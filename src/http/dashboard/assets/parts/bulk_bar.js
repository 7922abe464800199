// What can be done with the selected instances, or with all that match.
import { html, useRef, useState } from '../core/html.js';
import { actOn, actOnAll } from '../core/many.js';
import { useKeys } from '../core/keys.js';
import { confirm, ConfirmDialog } from './confirm.js';
import { Icon } from './icon.js';
import { ProblemNote } from './problem.js';

/** @typedef {import('../core/many.js').Action} Action */
/** @typedef {import('../core/many.js').Outcome} Outcome */

const ASKS = {
    stop: { word: 'Stop', did: 'asked to stop', danger: false, text: 'They are asked to stop, and have their grace to end by themselves.' },
    force: { word: 'Stop now', did: 'stopped', danger: true, text: 'They are ended at once, without grace.' },
    retry: { word: 'Retry', did: 'started again', danger: false, text: 'Each that is done is started again as a new instance with the same inputs.' },
};

const LIVE = ['pending', 'running'];
const count = (/** @type {number} */ n) => `${n.toLocaleString()} ${n === 1 ? 'instance' : 'instances'}`;

/** @param {{rows: Summary[], ids: Set<string>, clear: () => void, query: string, all: boolean, setAll: (all: boolean) => void, more: boolean}} props */
export function BulkBar({ rows, ids, clear, query, all, setAll, more }) {
    const [running, setRunning] = useState(/** @type {Action | null} */ (null));
    const [outcome, setOutcome] = useState(/** @type {(Outcome & {action: Action}) | null} */ (null));
    const close = useRef(/** @type {HTMLElement | null} */ (null));
    const selected = rows.filter((one) => ids.has(one.id));
    const live = selected.filter((one) => LIVE.includes(one.status));
    const done = selected.filter((one) => !LIVE.includes(one.status));
    // All that match are of the statuses that are asked for.
    const asked = all && new URLSearchParams(query).get('status')?.split(',');
    const some = (/** @type {boolean} */ lives, /** @type {Summary[]} */ chosen) =>
        all ? !asked || asked.some((status) => LIVE.includes(status) === lives) : chosen.length > 0;
    const able = { stop: some(true, live), force: some(true, live), retry: some(false, done) };

    const act = async (/** @type {Action} */ action) => {
        if (running || !able[action]) return;
        const chosen = action === 'retry' ? done : live;
        const { word, danger, text } = ASKS[action];
        const whom = all ? 'all that match' : count(chosen.length);
        const which = all && html`${text}<br />They match ${query ? html`<code>${decodeURIComponent(query)}</code>` : 'everything: there is no filter'}.`;
        if (!(await confirm({ title: `${word} ${whom}?`, text: which || text, action: `${word} ${whom}`, danger }))) return;
        // The button that has the focus is off while it runs.
        close.current?.focus();
        setRunning(action);
        const told = (/** @type {Outcome} */ so) => setOutcome({ ...so, action });
        try {
            const end = all ? await actOnAll(action, query, told) : await actOn(action, chosen.map((one) => one.id), told);
            setOutcome({ ...end, action });
            if (!end.error) clear();
        } catch (error) {
            setOutcome({ done: 0, refused: 0, of: 0, error, action });
        }
        setRunning(null);
    };
    useKeys(
        [
            { keys: 's', does: 'Stop the selected', run: () => void act('stop') },
            { keys: 'r', does: 'Retry the selected', run: () => void act('retry') },
        ],
        [ids, all, rows, running],
    );
    if (!ids.size && !outcome) return null;
    const told = outcome && !outcome.error;
    return html`<div class="bulk" role="region" aria-label="Selection">
        ${outcome?.error && html`<${ProblemNote} error=${outcome.error} />`}
        <div class="bulkline">
            <span role="status">
                ${ids.size > 0 && html`<b>${all ? 'All that match' : `${count(selected.length)} selected`}</b> `}
                ${told && `${running ? `${outcome.done + outcome.refused} of ` : ''}${count(running ? outcome.of : outcome.done)} ${ASKS[outcome.action].did}`}
                ${told && outcome.refused > 0 && `, ${outcome.refused} refused`}
            </span>
            ${ids.size > 0 && more && !all && html`<button type="button" class="link" onClick=${() => setAll(true)}>Select all that match</button>`}
            <span class="push"></span>
            ${ids.size > 0 &&
            html`<button type="button" disabled=${!able.stop || running} onClick=${() => act('stop')}><${Icon} name="stop" />Stop</button>
                <button type="button" class="danger" disabled=${!able.force || running} onClick=${() => act('force')}>Stop now</button>
                <button type="button" disabled=${!able.retry || running} onClick=${() => act('retry')}><${Icon} name="retry" />Retry</button>`}
            <button ref=${close} type="button" class="quiet" onClick=${() => (setOutcome(null), clear())} aria-label="Close"><${Icon} name="close" /></button>
        </div>
        <${ConfirmDialog} />
    </div>`;
}
