// What can be done with one instance: stop it, end it at once, run it again.
import { html, useRef, useState } from '../core/html.js';
import { url } from '../core/base.js';
import { send } from '../core/api.js';
import { useKeys } from '../core/keys.js';
import { can } from '../core/me.js';
import { navigate } from '../core/router.js';
import { Icon } from './icon.js';
import { ProblemNote } from './problem.js';

const ASKS = {
    cancel: ['Stop', 'It has not begun, and will not.'],
    stop: ['Stop', 'It is asked to stop, and has a grace to end by itself; after that it is ended.'],
    force: ['Stop now', 'It is ended at once, without grace.'],
};
/** @typedef {keyof typeof ASKS} Ask */

/** @param {{of: Instance, changed: () => void}} props */
export function InstanceActions({ of, changed }) {
    /** What is on its way. The feed may tell the end before the stop is answered: a retry does not wait for that. */
    const [busy, setBusy] = useState('');
    const [error, setError] = useState(/** @type {unknown} */ (null));
    const [asked, setAsked] = useState(/** @type {Ask} */ ('stop'));
    const asks = useRef(/** @type {HTMLDialogElement | null} */ (null));
    const bar = useRef(/** @type {HTMLElement | null} */ (null));
    const path = `/v1/instances/${of.id}`;
    const live = of.status === 'pending' || of.status === 'running';
    const gentle = of.status === 'running' ? 'stop' : 'cancel';
    const [word, means] = ASKS[asked];

    /** @param {'stop' | 'retry'} what @param {() => Promise<unknown>} request */
    const act = async (what, request) => {
        if (busy === what) return;
        setBusy(what);
        setError(null);
        try {
            await request();
        } catch (error) {
            setError(error);
        }
        setBusy('');
    };
    /** @param {string} query */
    // The button that has the focus goes.
    const stop = query => act('stop', async () => (await send('DELETE', path + query), changed())).then(() => bar.current?.focus());
    const ask = (/** @type {Ask} */ what) => {
        setAsked(what);
        asks.current?.showModal();
    };
    /** @param {SubmitEvent} event */
    const answered = event => {
        const grace = String(new FormData(/** @type {HTMLFormElement} */ (event.target)).get('grace') ?? '').trim();
        void stop(asked === 'force' ? '?force' : grace && `?grace=${encodeURIComponent(grace)}`);
    };
    const key = useRef('');
    const retry = () => act('retry', async () => {
        // A second press, and a try after a lost answer, start nothing more.
        key.current ||= crypto.getRandomValues(new Uint32Array(4)).join('-');
        const { json } = await send('POST', `${path}/retry`, '{}', { 'Idempotency-Key': key.current });
        navigate(`/instances/${json.number}`);
    });
    useKeys(
        [
            { keys: 's', does: 'Stop', run: () => live && can('run') && !of.stop_requested_at && ask(gentle) },
            { keys: 'r', does: 'Retry', run: () => !live && can('run') && void retry() },
        ],
        [of.status, of.stop_requested_at, busy],
    );
    if (!can('run')) return null;
    const again = url(`/tasks/${encodeURIComponent(of.task_id)}/start?from=${of.number}`);
    return html`<div ref=${bar} class="actions" tabindex="-1" role="group" aria-label="Actions">
            ${live && !of.stop_requested_at && html`<button type="button" disabled=${busy === 'stop'} onClick=${() => ask(gentle)}><${Icon} name="stop" />Stop</button>`}
            ${of.status === 'running' && html`<button type="button" class="danger" disabled=${busy === 'stop'} onClick=${() => ask('force')}>Stop now</button>`}
            ${!live && html`<button type="button" disabled=${busy === 'retry'} onClick=${retry}><${Icon} name="retry" />Retry</button>`}
            <a class="button" href=${again}>Run again with changes</a>
        </div>
        <${ProblemNote} error=${error} />
        <dialog ref=${asks} class="confirm" aria-labelledby="stop-title">
            <form method="dialog" onSubmit=${answered}>
                <h2 id="stop-title">${word} ${of.task_id} ${of.number}?</h2>
                <p>${means}</p>
                ${asked === 'stop' && html`<label class="field">Grace <input name="grace" placeholder="as configured, or such as 30s" autocomplete="off" /></label>`}
                <div class="actions">
                    <button type="button" onClick=${() => asks.current?.close()}>Back</button>
                    <button class=${asked === 'force' ? 'danger' : 'primary'} autofocus>${word}</button>
                </div>
            </form>
        </dialog>`;
}
