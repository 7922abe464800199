// Every view can be had as a line of curl, and as a line of the program.
import { html, signal, useEffect, useRef, useState } from '../core/html.js';
import { url } from '../core/base.js';
import { system } from '../core/me.js';
import { Icon } from './icon.js';

/** A view as it is asked for elsewhere: the API's path, and the program's arguments if it has a verb for it.
 * @typedef {{path: string, method?: string, body?: string, accept?: string, cli?: string[]}} View */

/** @type {Signal<View | null>} */
const shown = signal(/** @type {View | null} */ (null));

/** Says what the present page shows. @param {View} view */
export function useCopyAs(view) {
    useEffect(() => {
        shown.value = view;
        return () => void (shown.value === view && (shown.value = null));
    }, [JSON.stringify(view)]);
}

/** A word for a POSIX shell. @param {string} text */
export const quote = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`);

/** @param {View} view */
export function curlLine({ path, method = 'GET', body, accept }) {
    const words = ['curl', '-sS'];
    if (method !== 'GET' && !(method === 'POST' && body !== undefined)) words.push('-X', method);
    if (system.value?.you.name) words.push('-H', '"Authorization: Bearer $TASKWRIGHT_TOKEN"');
    if (accept) words.push('-H', quote(`Accept: ${accept}`));
    if (body !== undefined) words.push('--json', quote(body));
    return [...words, quote(location.origin + url(path))].join(' ');
}

/** The program finds a daemon at its usual place by itself. @param {string[]} words */
export function cliLine(words) {
    const here = location.origin + url('');
    const usual = /^http:\/\/(127\.0\.0\.1|localhost):8080$/.test(here);
    return ['taskwright', ...words.map(quote), ...(usual ? [] : ['--url', quote(here)])].join(' ');
}

/** Puts text on the clipboard, also where the page came over plain HTTP. @param {string} text */
export async function copyText(text) {
    if (navigator.clipboard) return navigator.clipboard.writeText(text);
    const area = document.createElement('textarea');
    area.value = text;
    (document.querySelector('dialog[open]') ?? document.body).append(area);
    area.select();
    document.execCommand('copy');
    area.remove();
}

/** @param {{text: string, label: string}} props */
export function CopyButton({ text, label }) {
    const [done, setDone] = useState(false);
    const timer = useRef(0);
    useEffect(() => () => clearTimeout(timer.current), []);
    const copy = async () => {
        await copyText(text);
        setDone(true);
        clearTimeout(timer.current);
        timer.current = setTimeout(() => setDone(false), 1500);
    };
    return html`<button type="button" class="quiet" onClick=${copy} aria-label=${done ? 'Copied' : label} title=${label}>
        <${Icon} name=${done ? 'check' : 'copy'} />
    </button>`;
}

/** A line for a shell, with a button that copies it. @param {{text: string, label: string}} props */
export const Line = ({ text, label }) =>
    html`<div class="line"><code tabindex="0" role="group" aria-label=${label}>${text}</code><${CopyButton} text=${text} label=${`Copy ${label}`} /></div>`;

/** The menu of the header. */
export function CopyAs() {
    const view = shown.value;
    if (!view) return null;
    return html`<button type="button" class="quiet" popovertarget="copy-as" title="Copy this view as a command">
            <${Icon} name="terminal" /><span class="wideonly">Copy as</span>
        </button>
        <div id="copy-as" class="popover" popover="auto" role="dialog" aria-label="Copy this view as a command">
            <h2>curl</h2>
            <${Line} text=${curlLine(view)} label="the curl line" />
            ${view.cli && html`<h2>taskwright</h2><${Line} text=${cliLine(view.cli)} label="the taskwright line" />`}
        </div>`;
}
