// What a JSON Schema asks for, as fields of a form, and the JSON that their texts make. All of it works on text: a
// value that nobody edited goes back as it came, byte for byte, and no number is ever parsed.
import { instant, ZONE } from './local_time.js';
import { faultOf, members } from './raw_json.js';
import { DEEPEST, keywords, textOf, words } from './schema_text.js';

/** @typedef {'string' | 'number' | 'integer' | 'boolean' | 'choice' | 'time' | 'list' | 'object' | 'json'} Kind */

/** @typedef {object} Field
 * @property {string} pointer  RFC 6901, from the inputs on
 * @property {string} name
 * @property {Kind} kind
 * @property {boolean} required
 * @property {string} title
 * @property {string} description
 * @property {string[]} hints  limits in words
 * @property {string | null} fallback  the default's JSON
 * @property {{json: string, title: string}[]} choices  of `choice`
 * @property {Field[]} fields  of `object`
 * @property {Field | null} item  of `list` */

/** What was typed: the text of a field, or of each element of a list with its JSON where it was not edited.
 * @typedef {Map<string, string | Element[]>} Edits @typedef {{text: string, json: string | null}} Element */

/** @param {string} name */
const escaped = name => name.replaceAll('~', '~0').replaceAll('/', '~1');

/** The form's root: an object. A schema that no form can show gives a field of kind `json`.
 * @param {string | null} schema JSON text @returns {Field} */
export function rootOf(schema) {
    const root = read(schema ?? '{}', schema ?? '{}', '', '', true, 0);
    if (root.kind !== 'object') root.kind = 'json';
    return root;
}

/** @param {string} root @param {string} text @param {string} pointer @param {string} name @param {boolean} required
 * @param {number} depth @returns {Field} */
function read(root, text, pointer, name, required, depth) {
    const schema = keywords(root, text, 0);
    /** @type {Field} */
    const field = {
        pointer,
        name,
        kind: 'json',
        required,
        title: words(schema.get('title')),
        description: words(schema.get('description')),
        hints: hintsOf(schema),
        fallback: schema.get('default') ?? null,
        choices: choicesOf(schema),
        fields: [],
        item: null,
    };
    const type = typeOf(schema);
    if (field.choices.length) field.kind = 'choice';
    else if (type === 'string') field.kind = schema.get('format') === '"date-time"' ? 'time' : 'string';
    else if (type === 'number' || type === 'integer' || type === 'boolean') field.kind = type;
    else if (type === 'array' && schema.has('items') && depth < DEEPEST) {
        const item = read(root, /** @type {string} */ (schema.get('items')), `${pointer}/-`, name, true, depth + 1);
        if (!['object', 'list', 'json'].includes(item.kind)) [field.kind, field.item] = ['list', item];
    } else if ((type === 'object' || schema.has('properties')) && depth < DEEPEST) {
        const wanted = new Set(members(schema.get('required') ?? '[]').map(([, one]) => words(one)));
        const properties = members(schema.get('properties') ?? '{}');
        // Names that the schema requires without saying more about them.
        for (const one of wanted) if (!properties.some(([key]) => key === one)) properties.push([one, '{}']);
        if (properties.length) {
            field.kind = 'object';
            // The server tells them by their names' order; what has to be typed stands first.
            properties.sort(([a], [b]) => Number(wanted.has(b)) - Number(wanted.has(a)));
            field.fields = properties.map(([key, one]) => read(root, one, `${pointer}/${escaped(key)}`, key, wanted.has(key), depth + 1));
        }
    }
    return field;
}

/** @param {Map<string, string>} schema */
function typeOf(schema) {
    const type = schema.get('type') ?? '';
    if (!type.startsWith('[')) return words(type);
    const named = members(type).map(([, one]) => words(one)).filter(one => one !== 'null');
    return named.length === 1 ? named[0] : '';
}

/** @param {Map<string, string>} schema @returns {{json: string, title: string}[]} */
function choicesOf(schema) {
    const constants = members(schema.get('oneOf') ?? schema.get('anyOf') ?? '').map(([, one]) => new Map(members(one)));
    const all = schema.has('const')
        ? [{ json: schema.get('const') ?? '', title: '' }]
        : schema.has('enum')
          ? members(schema.get('enum') ?? '').map(([, json]) => ({ json, title: '' }))
          : constants.length && constants.every(one => one.has('const'))
            ? constants.map(one => ({ json: one.get('const') ?? '', title: words(one.get('title')) || words(one.get('description')) }))
            : [];
    return all.map(({ json, title }) => ({ json, title: title ? `${textOf(json)} – ${title}` : textOf(json) }));
}

/** @param {Map<string, string>} schema */
function hintsOf(schema) {
    const [least, most] = [schema.get('minimum'), schema.get('maximum')];
    /** @type {[string, string][]} */
    const others = [
        ['exclusiveMinimum', 'more than %'], ['exclusiveMaximum', 'less than %'], ['multipleOf', 'a multiple of %'],
        ['minItems', '% or more'], ['maxItems', 'at most %'], ['minLength', '% or more characters'], ['maxLength', 'at most % characters'],
    ];
    const out = [];
    if (least && most) out.push(`from ${least} to ${most}`);
    else if (least) out.push(`at least ${least}`);
    else if (most) out.push(`at most ${most}`);
    for (const [name, text] of others) if (schema.has(name)) out.push(text.replace('%', schema.get(name) ?? ''));
    if (schema.has('pattern')) out.push(`matches ${words(schema.get('pattern'))}`);
    const format = words(schema.get('format'));
    if (format && typeOf(schema) === 'string') out.push(format === 'date-time' ? ZONE : format);
    return out;
}

/** What a value is. @param {string} json */
function kindOfValue(json) {
    if (json.startsWith('"')) return 'string';
    if (json.startsWith('{')) return 'object';
    if (json.startsWith('[')) return 'list';
    return json === 'true' || json === 'false' ? 'boolean' : json === 'null' ? 'null' : 'number';
}

/** What a field is shown as: as JSON, if the value there is none that its kind can show.
 * @param {Field} field @param {string | null} json @returns {Kind} */
export function kindWith(field, json) {
    if (json === null || field.kind === 'json') return field.kind;
    const value = kindOfValue(json);
    if (value === 'null') return field.kind === 'list' || field.kind === 'object' ? 'json' : field.kind;
    switch (field.kind) {
        case 'integer':
            return value === 'number' ? 'integer' : 'json';
        case 'time':
            return value === 'string' && instant(textOf(json)) ? 'time' : 'json';
        case 'choice':
            return field.choices.some(one => one.json === json) ? 'choice' : 'json';
        case 'list':
            return value === 'list' && members(json).every(([, one]) => kindWith(/** @type {Field} */ (field.item), one) !== 'json' && one !== 'null') ? 'list' : 'json';
        default:
            return value === field.kind ? field.kind : 'json';
    }
}

/** The elements of a list. @param {string | null} json @returns {Element[]} */
export const elementsOf = json => members(json ?? '[]').map(([, one]) => ({ text: textOf(one), json: one }));

const NUMBER = /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/;

/** The JSON of a text, null for none, or what is wrong with it. @param {Field} field @param {Kind} kind @param {string} text
 * @returns {{json: string | null, wrong?: string}} */
function parse(field, kind, text) {
    switch (kind) {
        case 'string':
            return { json: text === '' && !field.required ? null : JSON.stringify(text) };
        case 'number':
        case 'integer': {
            const trimmed = text.trim();
            if (!trimmed) return { json: null };
            return NUMBER.test(trimmed) ? { json: trimmed } : { json: null, wrong: `${JSON.stringify(trimmed)} is no number` };
        }
        case 'time':
            if (!text) return { json: null };
            return instant(text) ? { json: JSON.stringify(instant(text)) } : { json: null, wrong: `${text} is no time of the years up to 9999` };
        case 'json':
            if (!text.trim()) return { json: null };
            return faultOf(text) === null ? { json: text.trim() } : { json: null, wrong: faultOf(text) ?? '' };
        default:
            return { json: text || null };
    }
}

/** The JSON of the inputs. @param {Field} root @param {string | null} given what they were before
 * @param {Edits} edits @param {boolean} defaults whether a default stands for what was not typed
 * @returns {{json: string, faults: Fault[]}} pointers start at the inputs */
export function compose(root, given, edits, defaults) {
    /** @type {Fault[]} */
    const faults = [];
    const json = part(root, given, edits, defaults, faults);
    return { json: json ?? '{}', faults };
}

/** Whether something was typed at a pointer or below it. @param {Edits} edits @param {string} pointer */
const edited = (edits, pointer) => [...edits.keys()].some(key => key === pointer || key.startsWith(`${pointer}/`));

/** @param {Field} field @param {string | null} given @param {Edits} edits @param {boolean} defaults @param {Fault[]} faults
 * @returns {string | null} */
function part(field, given, edits, defaults, faults) {
    const touched = edited(edits, field.pointer);
    const kind = kindWith(field, given);
    if (kind === 'object') {
        if (given !== null && !touched) return given;
        if (given === null && !touched && !(field.required && defaults)) return null;
        const before = members(given ?? '{}');
        /** @type {[string, string | null][]} */
        const made = before.map(([name, json]) => {
            const own = field.fields.find(one => one.name === name);
            return [name, own ? part(own, json, edits, defaults, faults) : json];
        });
        for (const own of field.fields) {
            if (!before.some(([name]) => name === own.name)) made.push([own.name, part(own, null, edits, defaults, faults)]);
        }
        const texts = made.filter(([, json]) => json !== null).map(([name, json]) => `${JSON.stringify(name)}:${json}`);
        return `{${texts.join(',')}}`;
    }
    const typed = edits.get(field.pointer);
    if (typed === undefined) return given ?? (defaults ? field.fallback : null);
    if (typeof typed !== 'string') {
        const item = /** @type {Field} */ (field.item);
        const texts = typed.map(({ text, json }, at) => {
            if (json !== null) return json;
            const made = parse(item, item.kind, text);
            if (made.json === null) faults.push({ pointer: `${field.pointer}/${at}`, detail: made.wrong ?? 'Nothing was typed here' });
            return made.json;
        });
        return texts.length || field.required || given !== null ? `[${texts.join(',')}]` : null;
    }
    const made = parse(field, kind, typed);
    if (made.wrong) faults.push({ pointer: field.pointer, detail: made.wrong });
    return made.json;
}

/** Which field each fault of the server is about; those of none stand under ''.
 * @param {Field} root @param {Fault[]} faults @returns {Map<string, string[]>} */
export function placeFaults(root, faults) {
    /** @type {Map<string, string[]>} */
    const placed = new Map();
    for (const { pointer = '', detail } of faults) {
        const at = nearest(root, pointer, detail);
        placed.set(at, [...(placed.get(at) ?? []), at === '' && pointer ? `${pointer}: ${detail}` : detail]);
    }
    return placed;
}

/** @param {Field} field @param {string} pointer @param {string} detail @returns {string} */
function nearest(field, pointer, detail) {
    if (field.kind === 'list' && pointer.startsWith(`${field.pointer}/`)) return pointer;
    for (const own of field.fields) {
        if (pointer === own.pointer || pointer.startsWith(`${own.pointer}/`)) return nearest(own, pointer, detail);
    }
    // What is missing is told of the object that it is missing from.
    const missing = /"(.*)" is a required property/.exec(detail);
    const own = missing && pointer === field.pointer ? field.fields.find(one => one.name === missing[1]) : undefined;
    return own?.pointer ?? field.pointer;
}
