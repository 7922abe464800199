// A log of the server: a part of it, or what comes, of which a reader may want only some streams and some text.
import { connection, get, heard, request } from './api.js';

/** Which lines are wanted. @typedef {{stream: string, grep: string}} Filter */

/** Lines, and the next `seq` to read; null once a done instance has been read out.
 * @typedef {{lines: LogLine[], next: number | null}} LogPage */

/** @param {string} id @param {Filter} filter @param {Record<string, string | number>} window */
export function logPath(id, filter, window) {
    const query = new URLSearchParams();
    for (const [name, value] of Object.entries({ ...window, ...filter })) if (value !== '') query.set(name, String(value));
    return `/v1/instances/${encodeURIComponent(id)}/logs?${query}`;
}

/** Reads a part: `{tail: 500}` or `{from: 1, limit: 500}`.
 * @param {string} id @param {Filter} filter @param {Record<string, number>} window @param {AbortSignal} [abort]
 * @returns {Promise<LogPage>} */
export async function readLog(id, filter, window, abort) {
    return (await get(logPath(id, filter, window), { signal: abort })).json;
}

/** Follows from the line `from` on; returns when the server ends the stream, which need not be the log's end.
 * @param {string} id @param {Filter} filter @param {number} from @param {(lines: LogLine[]) => void} take
 * @param {AbortSignal} abort */
export async function followLog(id, filter, from, take, abort) {
    const response = await request(logPath(id, filter, { from, follow: 'true' }), {
        signal: abort,
        headers: { Accept: 'application/x-ndjson' },
    });
    connection.value = 'live';
    if (!response.body) return;
    const reader = response.body.getReader();
    const decoder = new TextDecoder();
    let rest = '';
    for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        heard.value = Date.now();
        const lines = (rest + decoder.decode(value, { stream: true })).split('\n');
        rest = lines.pop() ?? '';
        take(lines.filter(line => line !== '').map(line => JSON.parse(line)));
    }
}
