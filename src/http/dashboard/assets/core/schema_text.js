// A JSON Schema as the text that the server wrote: no number of it is ever parsed.
import { members } from './raw_json.js';

/** How deep references and members are followed. */
export const DEEPEST = 8;

/** The keywords of a schema, as JSON text, with its reference and its only alternative but null put in its place.
 * @param {string} root @param {string} text @param {number} depth @returns {Map<string, string>} */
export function keywords(root, text, depth) {
    const own = new Map(members(text));
    const reference = own.get('$ref');
    const alternatives = members(own.get('anyOf') ?? own.get('oneOf') ?? '')
        .map(([, one]) => one)
        .filter(one => new Map(members(one)).get('type') !== '"null"');
    const all = members(own.get('allOf') ?? '');
    let inner = null;
    if (depth < DEEPEST) {
        if (reference) inner = resolve(root, JSON.parse(reference));
        else if (alternatives.length === 1) inner = alternatives[0];
        else if (all.length === 1) inner = all[0][1];
    }
    if (inner === null) return own;
    for (const name of ['$ref', 'anyOf', 'oneOf', 'allOf']) own.delete(name);
    return new Map([...keywords(root, inner, depth + 1), ...own]);
}

/** @param {string} root @param {string} reference @returns {string | null} */
function resolve(root, reference) {
    if (!reference.startsWith('#')) return null;
    /** @type {string | null} */
    let text = root;
    for (const part of reference.slice(1).split('/').slice(1)) {
        const name = decodeURIComponent(part).replaceAll('~1', '/').replaceAll('~0', '~');
        text = members(text).find(([key]) => key === name)?.[1] ?? null;
        if (text === null) return null;
    }
    return text;
}

/** The text of a JSON string; '' for what is none. @param {string | undefined} json @returns {string} */
export const words = json => (json?.startsWith('"') ? JSON.parse(json) : '');

/** JSON as it is typed: a string without its quotes. @param {string} json */
export const textOf = json => (json.startsWith('"') ? JSON.parse(json) : json);
