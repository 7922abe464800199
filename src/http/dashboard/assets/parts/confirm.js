// Asks before what cannot be taken back.
import { html, signal, useEffect, useRef } from '../core/html.js';

/** @typedef {{title: string, text: any, action: string, danger?: boolean}} Question */

/** @type {Signal<(Question & {answer: (yes: boolean) => void}) | null>} */
const asked = signal(/** @type {any} */ (null));

/** Whether the reader says yes. @param {Question} question @returns {Promise<boolean>} */
export function confirm(question) {
    return new Promise((answer) => (asked.value = { ...question, answer }));
}

/** Stands once on a page that asks. */
export function ConfirmDialog() {
    const box = useRef(/** @type {HTMLDialogElement | null} */ (null));
    const question = asked.value;
    useEffect(() => {
        if (!question) return;
        box.current?.showModal();
        /** @type {HTMLElement | null | undefined} */ (box.current?.querySelector('[value=yes]'))?.focus();
    }, [question]);
    if (!question) return null;
    const close = () => {
        question.answer(box.current?.returnValue === 'yes');
        asked.value = null;
    };
    return html`<dialog ref=${box} class="confirm" aria-labelledby="confirm-title" onClose=${close}>
        <form method="dialog">
            <h2 id="confirm-title">${question.title}</h2>
            <p>${question.text}</p>
            <div class="actions">
                <button value="no">Cancel</button>
                <button value="yes" class=${question.danger ? 'danger' : 'primary'}>${question.action}</button>
            </div>
        </form>
    </dialog>`;
}
