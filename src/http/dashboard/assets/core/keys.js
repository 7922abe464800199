// Single keys, which can be switched off (WCAG 2.1.4).
import { signal, useLayoutEffect } from './html.js';

/** @typedef {{keys: string, does: string, run: (event: KeyboardEvent) => void}} Shortcut */

const STORED = 'taskwright.keys';

/** Whether single keys do anything. */
export const keysOn = signal(localStorage.getItem(STORED) !== 'off');

/** @param {boolean} on */
export function switchKeys(on) {
    keysOn.value = on;
    localStorage.setItem(STORED, on ? 'on' : 'off');
}

/** What is bound now; of two with the same keys the later counts. @type {Signal<Shortcut[]>} */
export const shortcuts = signal(/** @type {Shortcut[]} */ ([]));

/** Binds until the returned function is called. `keys` is one key, or two with a space between.
 * @param {Shortcut[]} list */
export function bind(list) {
    shortcuts.value = [...shortcuts.peek(), ...list];
    return () => void (shortcuts.value = shortcuts.peek().filter((one) => !list.includes(one)));
}

/** Binds while the component is shown, as soon as it is seen. @param {Shortcut[]} list @param {readonly unknown[]} inputs */
export function useKeys(list, inputs = []) {
    useLayoutEffect(() => bind(list), inputs);
}

let first = '';
let firstAt = 0;

/** @param {KeyboardEvent} event */
function press(event) {
    if (!keysOn.peek() || event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.defaultPrevented) return;
    const target = /** @type {HTMLElement} */ (event.target);
    if (target.closest?.('input:not([type=checkbox]), textarea, select, [contenteditable]')) return;
    if (document.querySelector('dialog[open]')) return;
    if (event.key === 'Enter' && target.closest?.('a, button, summary')) return;
    const pair = Date.now() - firstAt < 1500 ? `${first} ${event.key}` : '';
    const bound = shortcuts.peek();
    const found = bound.findLast((one) => one.keys === pair) ?? bound.findLast((one) => one.keys === event.key);
    first = event.key;
    firstAt = Date.now();
    if (!found) return;
    firstAt = 0;
    event.preventDefault();
    found.run(event);
}

/** Begins to listen; called once. */
export const startKeys = () => document.addEventListener('keydown', press);
