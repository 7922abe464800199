// A log as a file.
import { readLog } from './log_source.js';

const PAGE = 10_000; // lines: the most that the server gives at once

/** The whole log as text, a page at a time. @param {string} id @param {import('./log_source.js').Filter} filter @returns {Promise<Blob>} */
export async function wholeLog(id, filter) {
    /** @type {string[]} */
    const parts = [];
    for (let from = 1; ; ) {
        const { lines, next } = await readLog(id, filter, { from, limit: PAGE });
        if (lines.length) parts.push(lines.map(line => line.text).join('\n') + '\n');
        if (next === null || !lines.length) return new Blob(parts, { type: 'text/plain;charset=utf-8' });
        from = next;
    }
}
