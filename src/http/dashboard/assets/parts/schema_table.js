// A JSON Schema of an object as a table: a row for each member, nested ones with a dotted name. It is read as text, so
// that each bound stands there as the server has it.
import { html } from '../core/html.js';
import { members } from '../core/raw_json.js';
import { DEEPEST, keywords, textOf, words } from '../core/schema_text.js';

/** @typedef {{name: string, type: string, required: boolean, notes: string[], text: string}} SchemaRow */

/** The elements of an array. @param {string | undefined} json */
const elements = (json) => members(json ?? '').map(([, one]) => one);

/** @param {string} root @param {string} schema @param {number} [depth] @returns {string} */
function typeOf(root, schema, depth = 0) {
    const raw = new Map(members(schema));
    const own = keywords(root, schema, 0);
    const choices = elements(raw.get('anyOf') ?? raw.get('oneOf') ?? own.get('anyOf') ?? own.get('oneOf'));
    if (depth > DEEPEST) return 'any';
    if (choices.length) return [...new Set(choices.map((one) => typeOf(root, one, depth + 1)))].join(' or ');
    if (own.has('const') || own.has('enum')) return 'one of';
    const type = own.get('type') ?? (own.has('properties') ? '"object"' : '"any"');
    const items = own.get('items');
    return (type.startsWith('[') ? elements(type) : [type])
        .map((one) => (one === '"array"' && items ? `array of ${typeOf(root, items, depth + 1)}` : words(one)))
        .join(' or ');
}

const BOUNDS = /** @type {const} */ ([
    ['minimum', '≥ %'], ['exclusiveMinimum', '> %'], ['maximum', '≤ %'], ['exclusiveMaximum', '< %'], ['multipleOf', 'multiple of %'],
    ['minLength', '% or more characters'], ['maxLength', 'at most % characters'], ['pattern', 'pattern %'], ['format', 'format %'],
    ['minItems', '% or more items'], ['maxItems', 'at most % items'], ['default', 'default %'],
]);

/** @param {string} root @param {string} [schema] @param {string} [prefix] @returns {SchemaRow[]} */
function rowsOf(root, schema = root, prefix = '') {
    const own = keywords(root, schema, 0);
    if (prefix.split('.').length > 4) return [];
    const wanted = elements(own.get('required')).map(words);
    return members(own.get('properties') ?? '').flatMap(([key, value]) => {
        const part = keywords(root, value, 0);
        const name = prefix + key;
        const values = part.has('enum') ? elements(part.get('enum')) : part.has('const') ? [part.get('const')] : [];
        const notes = values.length ? [values.join(', ')] : [];
        for (const [bound, text] of BOUNDS) {
            const json = part.get(bound);
            if (json) notes.push(text.replace('%', () => (bound === 'default' ? json : textOf(json))));
        }
        const row = { name, type: typeOf(root, value), required: wanted.includes(key), notes, text: words(part.get('description')) || words(part.get('title')) };
        return [row, ...rowsOf(root, value, `${name}.`)];
    });
}

/** @param {{schema: string | null, caption: string}} props JSON text */
export function SchemaTable({ schema, caption }) {
    const rows = rowsOf(schema ?? '');
    const own = new Map(members(schema ?? ''));
    if (rows.length === 0) return html`<p class="faint">${own.get('type') === '"object"' && own.get('additionalProperties') === 'false' ? 'None.' : 'Any JSON object; there is no schema.'}</p>`;
    return html`<div class="tablebox" tabindex="0" role="region" aria-label=${caption}><table class="schema">
        <caption class="unseen">${caption}</caption>
        <thead><tr><th scope="col">Name</th><th scope="col">Type</th><th scope="col">Allowed</th><th scope="col">What it is</th></tr></thead>
        <tbody>${rows.map((row) => html`<tr key=${row.name}>
            <th scope="row"><code>${row.name}</code>${row.required && html` <small>required</small>`}</th>
            <td>${row.type}</td>
            <td>${row.notes.map((note) => html`<code>${note}</code> `)}</td>
            <td>${row.text}</td>
        </tr>`)}</tbody>
    </table></div>`;
}

const EXAMPLES = /** @type {Record<string, string>} */ ({
    'date-time': '2030-01-31T12:00:00Z', date: '2030-01-31', time: '12:00:00Z', duration: 'PT1H', email: 'ada@example.com', uri: 'https://example.com/',
    hostname: 'example.com', ipv4: '192.0.2.1', ipv6: '2001:db8::1', uuid: '00000000-0000-4000-8000-000000000000',
});

/** A value that may do, as JSON: what is required, by its default, its first choice or its bounds.
 * @param {string} root @param {string} [schema] @param {number} [depth] @returns {string} */
export function exampleOf(root, schema = root, depth = 0) {
    const own = keywords(root, schema, 0);
    const ready = own.get('default') ?? elements(own.get('examples'))[0] ?? own.get('const') ?? elements(own.get('enum'))[0];
    if (ready) return ready;
    const choice = elements(own.get('anyOf') ?? own.get('oneOf'))[0];
    if (choice && depth < DEEPEST) return exampleOf(root, choice, depth + 1);
    const type = own.get('type') ?? '';
    const count = (/** @type {string} */ bound, /** @type {number} */ most) => Math.min(Number(own.get(bound) ?? 0), most);
    switch ((type.startsWith('[') ? elements(type) : [type]).map(words).find((one) => one !== 'null')) {
        case 'string':
            return JSON.stringify(EXAMPLES[words(own.get('format'))] ?? '…'.repeat(Math.max(1, count('minLength', 1000))));
        case 'boolean':
            return 'false';
        case 'array':
            return depth < DEEPEST ? `[${Array(count('minItems', 20)).fill(exampleOf(root, own.get('items') ?? '', depth + 1))}]` : '[]';
        case 'number':
        case 'integer': {
            const above = own.get('exclusiveMinimum');
            const least = own.get('minimum') ?? (above && (/^-?\d+$/.test(above) ? String(BigInt(above) + 1n) : String(Math.floor(Number(above)) + 1)));
            const most = own.get('maximum');
            return least ?? own.get('multipleOf') ?? (most && Number(most) < 1 ? most : '1');
        }
        default: {
            if (depth >= DEEPEST) return '{}';
            const properties = new Map(members(own.get('properties') ?? ''));
            return `{${elements(own.get('required')).map((key) => `${key}:${exampleOf(root, properties.get(words(key)) ?? '', depth + 1)}`)}}`;
        }
    }
}
