// A JSON Schema of an object as a table: a row for each member, nested ones with a dotted name.
import { html } from '../core/html.js';

/** @typedef {{name: string, type: string, required: boolean, notes: string[], text: string}} SchemaRow */

/** @param {any} schema @param {any} root @param {number} [depth] @returns {any} */
function follow(schema, root, depth = 0) {
    if (!schema?.$ref?.startsWith('#') || depth > 8) return schema ?? {};
    let at = root;
    for (const part of schema.$ref.slice(1).split('/').slice(1)) at = at?.[decodeURIComponent(part).replaceAll('~1', '/').replaceAll('~0', '~')];
    return { ...follow(at, root, depth + 1), ...schema, $ref: undefined };
}

/** @param {any} schema @param {any} root @returns {string} */
function typeOf(schema, root) {
    const own = follow(schema, root);
    const choices = own.anyOf ?? own.oneOf;
    if (choices) return [...new Set(choices.map((/** @type {any} */ one) => typeOf(one, root)))].join(' or ');
    if (own.const !== undefined || own.enum) return 'one of';
    const types = [own.type ?? (own.properties ? 'object' : 'any')].flat();
    return types.map((type) => (type === 'array' && own.items ? `array of ${typeOf(own.items, root)}` : type)).join(' or ');
}

const BOUNDS = /** @type {const} */ ([
    ['minimum', '≥'], ['exclusiveMinimum', '>'], ['maximum', '≤'], ['exclusiveMaximum', '<'], ['multipleOf', 'multiple of'],
    ['minLength', 'length ≥'], ['maxLength', 'length ≤'], ['pattern', 'pattern'], ['format', 'format'], ['minItems', 'items ≥'], ['maxItems', 'items ≤'],
]);

/** @param {any} root @param {any} [schema] @param {string} [prefix] @returns {SchemaRow[]} */
function rowsOf(root, schema = root, prefix = '') {
    const own = follow(schema, root);
    if (prefix.split('.').length > 4) return [];
    return Object.entries(own.properties ?? {}).flatMap(([key, value]) => {
        const part = follow(value, root);
        const name = prefix + key;
        const notes = BOUNDS.filter(([bound]) => part[bound] !== undefined).map(([bound, word]) => `${word} ${part[bound]}`);
        const values = part.enum ?? (part.const === undefined ? null : [part.const]);
        if (values) notes.unshift(values.map((/** @type {unknown} */ one) => JSON.stringify(one)).join(', '));
        if (part.default !== undefined) notes.push(`default ${JSON.stringify(part.default)}`);
        const row = { name, type: typeOf(value, root), required: own.required?.includes(key) ?? false, notes, text: part.description ?? part.title ?? '' };
        return [row, ...rowsOf(root, value, `${name}.`)];
    });
}

/** @param {{schema: any, caption: string}} props */
export function SchemaTable({ schema, caption }) {
    const rows = rowsOf(schema);
    if (rows.length === 0) return html`<p class="faint">${schema?.type === 'object' && schema.additionalProperties === false ? 'None.' : 'Any JSON object; there is no schema.'}</p>`;
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

/** Inputs that may do: what is required, by its default or first choice. @param {any} root @returns {Record<string, unknown>} */
export function exampleInputs(root) {
    const own = follow(root, root);
    /** @type {Record<string, unknown>} */
    const out = {};
    for (const key of own.required ?? []) {
        const part = follow(own.properties?.[key], root);
        const type = [part.type].flat()[0];
        out[key] = part.default ?? part.examples?.[0] ?? part.const ?? part.enum?.[0] ??
            (type === 'string' ? '…' : type === 'boolean' ? false : type === 'array' ? [] : type === 'object' ? {} : (part.minimum ?? 1));
    }
    return out;
}
