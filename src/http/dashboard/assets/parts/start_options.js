// What a start may be given beside its inputs: labels, priority, when, and its limits.
import { html } from '../core/html.js';
import { instant, LATEST, ZONE } from '../core/local_time.js';
import { Faults, described } from './schema_form.js';

/** Each as it is typed. @typedef {{labels: string, priority: string, delay: string, run_at: string, timeout: string, max_attempts: string}} Options */

/** @type {Options} */
export const NO_OPTIONS = { labels: '', priority: '', delay: '', run_at: '', timeout: '', max_attempts: '' };

/** Those of an instance. @param {Instance} from @returns {Options} */
export const optionsOf = from => ({
    ...NO_OPTIONS,
    labels: Object.entries(from.labels).map(([key, value]) => `${key}:${value}`).join('\n'),
    priority: from.priority ? String(from.priority) : '',
    timeout: from.timeout === null ? '' : String(from.timeout),
    max_attempts: String(from.max_attempts),
});

/** What is typed as JSON: a number where it is one, else text, of which the server says what is wrong with it.
 * @param {string} text */
const scalar = text => (/^-?(0|[1-9]\d*)(\.\d+)?$/.test(text) ? text : JSON.stringify(text));

/** The members of a request, those that differ from `before` only; what is left empty stays as before, but for labels. @param {Options} options @param {Options} before
 * @returns {[string, string][]} name and JSON */
export function optionMembers(options, before) {
    /** @type {[string, string][]} */
    const out = [];
    for (const name of /** @type {const} */ (['priority', 'delay', 'timeout', 'max_attempts'])) {
        const text = options[name].trim();
        if (text && text !== before[name]) out.push([name, scalar(text)]);
    }
    if (options.run_at) out.push(['run_at', JSON.stringify(instant(options.run_at) ?? options.run_at)]);
    if (options.labels.trim() !== before.labels) {
        const labels = options.labels.split('\n').map(line => line.trim()).filter(Boolean).map(line => {
            const at = line.indexOf(':');
            return at < 0 ? [line, ''] : [line.slice(0, at).trim(), line.slice(at + 1).trim()];
        });
        out.push(['labels', `{${labels.map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`).join(',')}}`]);
    }
    return out;
}

/** Whose fault it is: the option at a pointer of the body, or null. @param {string} pointer @returns {keyof Options | null} */
export function optionAt(pointer) {
    const name = pointer.split('/')[1];
    return name in NO_OPTIONS ? /** @type {keyof Options} */ (name) : null;
}

const FIELDS = /** @type {[keyof Options, string, string][]} */ ([
    ['labels', 'Labels', 'One a line, such as customer:acme'],
    ['priority', 'Priority', 'From -32768 to 32767; the higher runs first'],
    ['delay', 'Delay', 'Such as 30s, 10m or 2h'],
    ['run_at', 'Not before', `In place of a delay; ${ZONE}`],
    ['timeout', 'Timeout of an attempt', 'Such as 30s, 10m or 2h'],
    ['max_attempts', 'Attempts', 'How often it is tried, from 1 to 1000'],
]);

/** `before` are those that hold where nothing is typed.
 * @param {{options: Options, before: Options, faults: Map<string, string[]>, edit: (options: Options) => void}} props */
export function StartOptions({ options, before, faults, edit }) {
    const given = FIELDS.filter(([name]) => options[name] !== '').length;
    const wrong = FIELDS.some(([name]) => faults.has(name));
    return html`<details class="options" open=${wrong || undefined}>
        <summary>Options${given > 0 && html` <small>${given} set</small>`}</summary>
        <div class="optionfields">
            ${FIELDS.map(([name, label, hint]) => {
                const id = `option-${name}`;
                const about = {
                    ...described(id, true, faults.get(name)),
                    value: options[name],
                    onInput: (/** @type {any} */ event) => edit({ ...options, [name]: event.target.value }),
                };
                return html`<div class=${`field ${name}`} key=${name}>
                    <label for=${id}>${label}</label>
                    ${name === 'labels'
                        ? html`<textarea ...${about} rows="3" spellcheck=${false}></textarea>`
                        : name === 'run_at'
                          ? html`<input type="datetime-local" step="1" max=${LATEST} ...${about} />`
                          : html`<input ...${about} autocomplete="off" placeholder=${before[name] && `${before[name]} as before`} />`}
                    <p id=${`${id}-hint`} class="hint">${hint}</p>
                    <${Faults} id=${id} faults=${faults.get(name)} />
                </div>`;
            })}
        </div>
    </details>`;
}
