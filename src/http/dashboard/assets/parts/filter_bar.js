// The filters of a list as chips, and a box that adds one.
import { html, useId, useRef, useState } from '../core/html.js';
import { useKeys } from '../core/keys.js';
import { Icon } from './icon.js';
import { STATUSES, StatusWord } from './status.js';

/** @typedef {import('../core/filters.js').Filters} Filters */

const AGES = ['-15m', '-1h', '-24h', '-7d'];

/** The filters with what was typed added, or why that is none.
 * While the tasks are not known yet, a word is taken for one of them: the list says if it is not.
 * @param {string} typed @param {Filters} filters @param {Definition[] | null} tasks @returns {Filters | string} */
function add(typed, filters, tasks) {
    const text = typed.trim();
    const status = STATUSES.find((one) => one === text.replace(/^status:/, ''));
    if (status) return { ...filters, status: [...new Set([...filters.status, status])] };
    if (/^-\d+(\.\d+)?(ms|s|m|h|d)?$/.test(text)) return { ...filters, created_after: text };
    const name = text.replace(/^task(_id)?:/, '');
    const same = (/** @type {string} */ other) => other.toLowerCase() === name.toLowerCase();
    const task = tasks?.find((one) => same(one.id) || same(one.name));
    if (task) return { ...filters, task_id: task.id };
    if (!tasks && /^[\w.-]+$/.test(name)) return { ...filters, task_id: name };
    if (/^[\w./-]{1,63}:/.test(text)) return { ...filters, label: [...new Set([...filters.label, text.replace(/:$/, '')])] };
    return `No task has the name ${text}. A label is key:value, an age such as -24h.`;
}

/** @param {string} text @param {string} ago before a duration @param {string} at before a time */
const moment = (text, ago, at) => (text.startsWith('-') ? `${ago} ${text.slice(1)}` : `${at} ${text}`);

/** @param {{text: string, off: () => void}} props */
const Chip = ({ text, off }) =>
    html`<span class="chip">${text}<button type="button" onClick=${off} aria-label=${`Remove ${text}`}><${Icon} name="close" /></button></span>`;

/** @param {{filters: Filters, tasks: Definition[] | null, counts: Record<Status, number> | null, change: (filters: Filters) => void}} props */
export function FilterBar({ filters, tasks, counts, change }) {
    const box = useRef(/** @type {HTMLInputElement | null} */ (null));
    const [fault, setFault] = useState('');
    const id = useId();
    useKeys([{ keys: '/', does: 'Filter', run: () => box.current?.focus() }]);

    const take = () => {
        const input = box.current;
        if (!input?.value.trim()) return;
        const next = add(input.value, filters, tasks);
        if (typeof next === 'string') return setFault(next);
        setFault('');
        input.value = '';
        change(next);
    };
    const toggle = (/** @type {Status} */ status) => {
        const on = filters.status.includes(status);
        change({ ...filters, status: on ? filters.status.filter((one) => one !== status) : STATUSES.filter((one) => one === status || filters.status.includes(one)) });
    };
    const onInput = (/** @type {InputEvent} */ event) => {
        setFault('');
        // What was picked from the list is meant; what is typed waits for Enter.
        if (event.inputType === 'insertReplacementText' || !('inputType' in event)) take();
    };
    return html`<section class="filters" aria-label="Filters">
        <div class="toggles" role="group" aria-label="Status">
            ${STATUSES.map((status) => html`<button type="button" aria-pressed=${filters.status.includes(status)} onClick=${() => toggle(status)}>
                <${StatusWord} name=${status} />${counts && html`<span class="num">${counts[status].toLocaleString()}</span>`}
            </button>`)}
        </div>
        <form class="filterbox" role="search" onSubmit=${(/** @type {Event} */ event) => (event.preventDefault(), take())}>
            <${Icon} name="search" />
            ${filters.task_id && html`<${Chip} text=${`task ${filters.task_id}`} off=${() => change({ ...filters, task_id: '' })} />`}
            ${filters.label.map((label) => html`<${Chip} key=${label} text=${label} off=${() => change({ ...filters, label: filters.label.filter((one) => one !== label) })} />`)}
            ${filters.created_after && html`<${Chip} text=${moment(filters.created_after, 'last', 'since')} off=${() => change({ ...filters, created_after: '' })} />`}
            ${filters.created_before && html`<${Chip} text=${moment(filters.created_before, 'older than', 'before')} off=${() => change({ ...filters, created_before: '' })} />`}
            <input ref=${box} list=${`${id}-offers`} aria-label="Add a filter: a task, a label as key:value, or an age such as -24h"
                aria-describedby=${`${id}-fault`} autocomplete="off" spellcheck=${false} placeholder="Task, key:value or -24h" onInput=${onInput}
                onKeyDown=${(/** @type {KeyboardEvent} */ event) => event.key === 'Escape' && box.current?.blur()} />
            <datalist id=${`${id}-offers`}>
                ${tasks?.map((task) => html`<option value=${task.id}>task</option>`)}
                ${AGES.map((age) => html`<option value=${age}>started since</option>`)}
            </datalist>
        </form>
        <p id=${`${id}-fault`} class="fault" role="status">${fault}</p>
    </section>`;
}
