// What a start or a retry is given, as arguments of the program. They must mean what the page shows, to the byte.
import { members } from './raw_json.js';

/** How the program takes a text that stands for itself, by what the schema says of the member. */
const PLAIN = /** @type {Record<string, RegExp>} */ ({
    '"string"': /^"(?!@|\\u0040)/,
    '"number"': /^[-\d]/,
    '"integer"': /^-?\d+$/,
    '"boolean"': /^[tf]/,
});

/** @typedef {{json: string, before?: string | null, schema: string | null, flag?: string}} Given */

/** Inputs as arguments, those that differ from `before` only, each after `flag`. Null if the program would take them for
 * something else. @param {Given} given @returns {string[] | null} */
export function inputWords({ json, before, schema, flag }) {
    const root = new Map(members(schema ?? ''));
    const properties = new Map(members(root.get('properties') ?? ''));
    const open = (root.get('additionalProperties') ?? 'false') !== 'false' || !properties.size;
    const now = members(json);
    const was = new Map(members(before ?? ''));
    if (!json.startsWith('{') || [...was.keys()].some(name => !now.some(([key]) => key === name))) return null;
    /** @type {string[]} */
    const out = [];
    for (const [name, value] of now) {
        if (was.get(name) === value) continue;
        if (!/^\w[\w.-]*$/.test(name) || !(open || properties.has(name))) return null;
        const own = new Map(members(properties.get(name) ?? ''));
        const settled = !['$ref', 'anyOf', 'oneOf'].some(one => own.has(one)) && PLAIN[own.get('type') ?? '']?.test(value);
        if (flag) out.push(flag);
        out.push(settled ? `${name}=${value.startsWith('"') ? JSON.parse(value) : value}` : `${name}:=${value}`);
    }
    return out;
}

/** The arguments of a start: all inputs at once, where they cannot be told one by one. @param {string} json @param {string | null} schema */
export const startWords = (json, schema) => inputWords({ json, schema }) ?? ['--inputs', json];

/** The options of a start. @param {[string, string][]} options members of its body, as name and JSON */
export const optionWords = options =>
    options.flatMap(([name, json]) => {
        if (name === 'labels') return members(json).flatMap(([key, value]) => ['--label', `${key}:${JSON.parse(value)}`]);
        const flag = name === 'timeout' ? '--task-timeout' : `--${name.replace('_', '-')}`;
        const value = json.startsWith('"') ? JSON.parse(json) : json;
        return value.startsWith('-') ? [`${flag}=${value}`] : [flag, value];
    });
