// What the keys do, and the switch that turns them off.
import { html, useEffect, useRef } from '../core/html.js';
import { keysOn, shortcuts, switchKeys } from '../core/keys.js';

/** @param {{close: () => void}} props */
export default function KeyboardHelp({ close }) {
    const box = useRef(/** @type {HTMLDialogElement | null} */ (null));
    useEffect(() => box.current?.showModal(), []);
    const seen = new Map(shortcuts.value.map((one) => [one.keys, one.does]));
    return html`<dialog ref=${box} aria-labelledby="keys-title" onClose=${close}>
        <form method="dialog">
            <h2 id="keys-title">Keyboard</h2>
            <dl class="keys">
                ${[...seen].map(([keys, does]) => html`<div><dt>${keys.split(' ').map((key) => html`<kbd>${key}</kbd> `)}</dt><dd>${does}</dd></div>`)}
            </dl>
            <label class="check"><input type="checkbox" checked=${keysOn.value} onChange=${(/** @type {any} */ event) => switchKeys(event.target.checked)} /> Single-key shortcuts</label>
            <div class="actions"><button class="primary">Close</button></div>
        </form>
    </dialog>`;
}
