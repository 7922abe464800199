// JSON as text. `JSON.parse` rounds integers above 2^53, so what is shown or sent back is sliced out of the answer.

/** The index after the string that begins at `at`. @param {string} text @param {number} at */
function endOfString(text, at) {
    for (let end = at; ; ) {
        end = text.indexOf('"', end + 1);
        if (end < 0) return text.length;
        let slashes = 0;
        while (text[end - 1 - slashes] === '\\') slashes += 1;
        if (slashes % 2 === 0) return end + 1;
    }
}

const SPACE = /\s*/y;
const WORD = /[^\s,:{}[\]"]+/y;

/** @param {RegExp} pattern @param {string} text @param {number} at */
function skip(pattern, text, at) {
    pattern.lastIndex = at;
    pattern.test(text);
    return Math.max(pattern.lastIndex, at);
}

/** The index after the value that begins at `at`. @param {string} text @param {number} at */
function endOfValue(text, at) {
    let depth = 0;
    while (at < text.length) {
        const char = text[at];
        if (char === '"') at = endOfString(text, at);
        else if (char === '{' || char === '[') (depth += 1), (at += 1);
        else if (char === '}' || char === ']') (depth -= 1), (at += 1);
        else if (char === ',' || char === ':') at += 1;
        else at = skip(WORD, text, at);
        if (depth <= 0) return at;
        at = skip(SPACE, text, at);
    }
    return at;
}

/** The parts of an object or array, in order; the name of an array's element is its index. Nothing for other values.
 * The text must be JSON. @param {string} text @returns {[string, string][]} name and raw text of the value */
export function members(text) {
    /** @type {[string, string][]} */
    const found = [];
    let at = skip(SPACE, text, 0);
    const isObject = text[at] === '{';
    if (!isObject && text[at] !== '[') return found;
    for (at = skip(SPACE, text, at + 1); at < text.length && text[at] !== '}' && text[at] !== ']'; ) {
        let name = String(found.length);
        if (isObject) {
            const end = endOfString(text, at);
            name = JSON.parse(text.slice(at, end));
            at = skip(SPACE, text, skip(SPACE, text, end) + 1);
        }
        const end = endOfValue(text, at);
        found.push([name, text.slice(at, end)]);
        at = skip(SPACE, text, end);
        if (text[at] === ',') at = skip(SPACE, text, at + 1);
    }
    return found;
}

/** The raw text of a member of the outermost object, or null. @param {string} text @param {string} name */
export function member(text, name) {
    return members(text).find(([key]) => key === name)?.[1] ?? null;
}

/** The first name that an object in a JSON text has twice, or undefined. @param {string} text @returns {string | undefined} */
function doubled(text) {
    const seen = new Set();
    for (const [name, value] of members(text)) {
        const within = seen.has(name) ? name : doubled(value);
        if (within !== undefined) return within;
        seen.add(name);
    }
}

/** Why the server cannot read a text as JSON, or null. @param {string} text */
export function faultOf(text) {
    try {
        JSON.parse(text);
    } catch (error) {
        return `No JSON: ${/** @type {Error} */ (error).message}`;
    }
    const name = doubled(text);
    return name === undefined ? null : `No JSON: the name ${JSON.stringify(name)} is there twice`;
}

/** A piece of JSON text and what it is, to be coloured.
 * @typedef {{kind: 'key' | 'string' | 'number' | 'word' | 'mark', text: string}} Token */

/** The tokens of indented JSON; joined they are the text. Strings and numbers stay as they were written.
 * @param {string} text @returns {Token[]} */
export function prettyTokens(text) {
    /** @type {Token[]} */
    const out = [];
    let depth = 0;
    /** @param {string} mark */
    const push = (mark) => out.push({ kind: 'mark', text: mark });
    const line = () => `\n${'  '.repeat(depth)}`;
    for (let at = skip(SPACE, text, 0); at < text.length; at = skip(SPACE, text, at)) {
        const char = text[at];
        if (char === '"') {
            const end = endOfString(text, at);
            const kind = text[skip(SPACE, text, end)] === ':' ? 'key' : 'string';
            out.push({ kind, text: text.slice(at, end) });
            at = end;
        } else if (char === '{' || char === '[') {
            const next = skip(SPACE, text, at + 1);
            if (text[next] === '}' || text[next] === ']') {
                push(char + text[next]);
                at = next + 1;
            } else {
                depth += 1;
                push(char + line());
                at += 1;
            }
        } else if (char === '}' || char === ']') {
            depth -= 1;
            push(line() + char);
            at += 1;
        } else if (char === ',' || char === ':') {
            push(char === ',' ? `,${line()}` : ': ');
            at += 1;
        } else {
            const end = Math.max(skip(WORD, text, at), at + 1);
            const word = text.slice(at, end);
            out.push({ kind: /^[-\d]/.test(word) ? 'number' : 'word', text: word });
            at = end;
        }
    }
    return out;
}

/** Indented JSON. @param {string} text */
export const pretty = (text) => prettyTokens(text).map((token) => token.text).join('');
