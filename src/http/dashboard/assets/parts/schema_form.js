// The fields of a task's inputs. What is typed stays text until it is sent (core/schema_fields.js).
import { html } from '../core/html.js';
import { LATEST, localTime } from '../core/local_time.js';
import { members, pretty } from '../core/raw_json.js';
import { elementsOf, kindWith } from '../core/schema_fields.js';
import { textOf } from '../core/schema_text.js';
import { Icon } from './icon.js';

/** @typedef {import('../core/schema_fields.js').Field} Field */
/** @typedef {import('../core/schema_fields.js').Edits} Edits */
/** @typedef {import('../core/schema_fields.js').Element} Item */

/** @typedef {object} Form
 * @property {Edits} edits
 * @property {boolean} defaults  whether defaults stand for what was not typed
 * @property {Map<string, string[]>} faults  by pointer
 * @property {(pointer: string, typed: string | Item[] | undefined, before?: Item[]) => void} edit  `before` are a list's elements until then */

/** @param {string} pointer */
export const idOf = pointer => `in${pointer.replaceAll(/[^\w]/g, char => `-${char.charCodeAt(0)}`)}`;

/** What is wrong with a field, beside it. @param {{id: string, faults: string[] | undefined}} props */
export const Faults = ({ id, faults }) =>
    faults?.length ? html`<p id=${`${id}-faults`} class="fault"><${Icon} name="warning" /> ${faults.join('. ')}</p>` : null;

/** The attributes that tie an input to its hint and to what is wrong with it.
 * @param {string} id @param {boolean} hint @param {string[] | undefined} faults */
export function described(id, hint, faults) {
    const ids = [...(hint ? [`${id}-hint`] : []), ...(faults?.length ? [`${id}-faults`] : [])];
    return { id, 'aria-describedby': ids.join(' ') || undefined, 'aria-invalid': faults?.length ? 'true' : undefined };
}

/** @param {{root: Field, given: string | null, form: Form}} props */
export const SchemaForm = ({ root, given, form }) => html`<${Fields} of=${root} given=${given} form=${form} />`;

/** @param {{of: Field, given: string | null, form: Form}} props */
function Fields({ of, given, form }) {
    const values = new Map(members(given ?? '{}'));
    return of.fields.map(field => html`<${OneField} key=${field.pointer} field=${field} given=${values.get(field.name) ?? null} form=${form} />`);
}

/** @param {{field: Field, given: string | null, form: Form}} props */
function OneField({ field, given, form }) {
    const id = idOf(field.pointer);
    const kind = kindWith(field, given);
    const faults = form.faults.get(field.pointer);
    const hint = [field.description, field.hints.join(', ')].filter(Boolean).join(' · ');
    const label = html`${field.name}${field.required && html`<span class="required" aria-hidden="true"> *</span>`}`;
    const note = hint && html`<p id=${`${id}-hint`} class="hint">${hint}</p>`;
    if (kind === 'object') {
        return html`<fieldset class="field" ...${described(id, Boolean(hint), faults)} tabindex=${faults ? -1 : undefined}>
            <legend>${label}</legend>
            ${note}<${Faults} id=${id} faults=${faults} />
            <${Fields} of=${field} given=${given} form=${form} />
        </fieldset>`;
    }
    if (kind === 'list') return html`<${List} field=${field} given=${given} form=${form} label=${label} note=${note} />`;
    const typed = form.edits.get(field.pointer);
    const shown = given ?? (form.defaults ? field.fallback : null);
    const before = shown === null || shown === 'null' ? '' : kind === 'json' ? pretty(shown) : kind === 'choice' ? shown : textOf(shown);
    const value = typeof typed === 'string' ? typed : before;
    /** @param {string} text */
    const edit = text => form.edit(field.pointer, text === before ? undefined : text);
    const about = { ...described(id, Boolean(hint), faults), 'aria-required': field.required ? 'true' : undefined };
    return html`<div class="field">
        <label for=${id}>${label}</label>
        <${Control} field=${field} kind=${kind} value=${value} about=${about} edit=${edit} placeholder=${placeholder(field, form, given)} />
        ${note}<${Faults} id=${id} faults=${faults} />
    </div>`;
}

/** What happens when nothing is typed. @param {Field} field @param {Form} form @param {string | null} given */
function placeholder(field, form, given) {
    if (given === 'null') return 'null';
    return !form.defaults && field.fallback !== null && given === null ? `${textOf(field.fallback)} by default` : '';
}

/** @param {{field: Field, kind: import('../core/schema_fields.js').Kind, value: string, about: object,
 * edit: (text: string) => void, placeholder: string}} props */
function Control({ field, kind, value, about, edit, placeholder }) {
    /** @param {{target: {value: string}}} event */
    const typed = event => edit(event.target.value);
    switch (kind) {
        case 'boolean':
            return html`<select ...${about} value=${value} onChange=${typed}>
                ${(!field.required || value === '') && html`<option value="">not set</option>`}
                <option>true</option><option>false</option>
            </select>`;
        case 'choice': {
            // Its options are JSON, since a text "1" is not a number 1.
            return html`<select ...${about} value=${value} onChange=${typed}>
                ${(!field.required || !value) && html`<option value="">not set</option>`}
                ${field.choices.map(one => html`<option value=${one.json}>${one.title}</option>`)}
            </select>`;
        }
        case 'time':
            return html`<input type="datetime-local" step="1" max=${LATEST} ...${about} value=${localTime(value)} onInput=${typed} />`;
        case 'number':
        case 'integer':
            return html`<input ...${about} class="num" inputmode=${kind === 'integer' ? 'numeric' : 'decimal'} autocomplete="off" value=${value}
                placeholder=${placeholder} onInput=${typed} />`;
        case 'json':
            return html`<textarea ...${about} class="mono" rows=${Math.min(12, Math.max(2, value.split('\n').length))} spellcheck=${false}
                value=${value} placeholder=${placeholder || 'JSON'} onInput=${typed}></textarea>`;
        default:
            return value.includes('\n')
                ? html`<textarea ...${about} rows="4" value=${value} onInput=${typed}></textarea>`
                : html`<input type=${field.hints.includes('password') ? 'password' : 'text'} ...${about} autocomplete="off" value=${value}
                    placeholder=${placeholder} onInput=${typed} />`;
    }
}

/** @param {{field: Field, given: string | null, form: Form, label: any, note: any}} props */
function List({ field, given, form, label, note }) {
    const id = idOf(field.pointer);
    const item = /** @type {Field} */ (field.item);
    const typed = form.edits.get(field.pointer);
    const items = Array.isArray(typed) ? typed : elementsOf(given ?? (form.defaults ? field.fallback : null));
    const faults = form.faults.get(field.pointer);
    /** @param {number} at @param {string} text */
    const change = (at, text) => form.edit(field.pointer, items.map((one, i) => (i === at ? { text, json: null } : one)), items);
    const add = () => form.edit(field.pointer, [...items, { text: '', json: null }], items);
    return html`<fieldset class="field list" ...${described(id, Boolean(note), faults)} tabindex=${faults ? -1 : undefined}>
        <legend>${label}</legend>
        ${note}<${Faults} id=${id} faults=${faults} />
        ${items.map(({ text }, at) => {
            const own = `${field.pointer}/${at}`;
            const wrong = form.faults.get(own);
            const about = { ...described(idOf(own), false, wrong), 'aria-label': `${field.name}, element ${at + 1}` };
            return html`<div class="element" key=${at}>
                <${Control} field=${item} kind=${item.kind} value=${text} about=${about} edit=${(/** @type {string} */ next) => change(at, next)} placeholder="" />
                <button type="button" class="quiet" aria-label=${`Remove element ${at + 1} of ${field.name}`}
                    onClick=${() => form.edit(field.pointer, items.filter((_, i) => i !== at), items)}><${Icon} name="close" /></button>
                <${Faults} id=${idOf(own)} faults=${wrong} />
            </div>`;
        })}
        <button type="button" onClick=${add}>Add</button>
    </fieldset>`;
}
