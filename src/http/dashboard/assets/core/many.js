// One action on many instances.
import { get, send, Refused } from './api.js';
import { readFilters, writeFilters } from './filters.js';

/** @typedef {'stop' | 'force' | 'retry'} Action */

/** What has become of it so far; `refused` are those whose state does not allow it, `error` is why the rest was not tried.
 * @typedef {{done: number, refused: number, of: number, error: unknown}} Outcome */

const AT_ONCE = 5; // of the six connections that a browser has
const PAGE = 500;

/** @param {Action} action @param {string} id @param {string} key */
function act(action, id, key) {
    if (action === 'retry') return send('POST', `/v1/instances/${id}/retry`, '{}', { 'Idempotency-Key': `${key}-${id}` });
    return send('DELETE', `/v1/instances/${id}${action === 'force' ? '?force' : ''}`);
}

/** Acts on each of them, a few at once. @param {Action} action @param {string[]} ids @param {(so: Outcome) => void} told
 * @returns {Promise<Outcome>} */
export async function actOn(action, ids, told) {
    const outcome = { done: 0, refused: 0, of: ids.length, error: /** @type {unknown} */ (null) };
    const key = crypto.getRandomValues(new Uint32Array(3)).join('-');
    const left = ids.values();
    const worker = async () => {
        for (const id of left) {
            if (outcome.error) return;
            try {
                await act(action, id, key);
                outcome.done += 1;
            } catch (error) {
                if (error instanceof Refused && [404, 409].includes(error.status)) outcome.refused += 1;
                else outcome.error = error;
            }
            told({ ...outcome });
        }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
    return outcome;
}

const LIVE = /** @type {Status[]} */ (['pending', 'running']);
const DONE = /** @type {Status[]} */ (['completed', 'failed', 'cancelled']);

/** Acts on all that match, also those that are not shown. Stops go as one request where the filter can be said in one.
 * @param {Action} action @param {string} text the query of a list @param {(so: Outcome) => void} told
 * @returns {Promise<Outcome>} */
export async function actOnAll(action, text, told) {
    const filters = readFilters(new URLSearchParams(text));
    const able = action === 'retry' ? DONE : LIVE;
    const status = filters.status.length ? filters.status.filter((one) => able.includes(one)) : able;
    if (!status.length) return { done: 0, refused: 0, of: 0, error: null };
    if (action !== 'retry' && !filters.created_after && filters.label.every((label) => label.includes(':'))) {
        const labels = Object.fromEntries(filters.label.map((label) => [label.slice(0, label.indexOf(':')), label.slice(label.indexOf(':') + 1)]));
        const body = {
            status,
            ...(filters.task_id && { task_id: filters.task_id }),
            ...(filters.label.length && { labels }),
            ...(filters.created_before && { created_before: filters.created_before }),
            ...(action === 'force' && { force: true }),
        };
        const { matched, cancelled, stopping } = (await send('POST', '/v1/instances/stop', JSON.stringify(body))).json;
        return { done: cancelled + stopping, refused: 0, of: matched, error: null };
    }
    /** @type {string[]} */
    const ids = [];
    const query = writeFilters({ ...filters, status });
    query.set('limit', String(PAGE));
    for (let cursor = ''; ; ) {
        if (cursor) query.set('cursor', cursor);
        const page = (await get(`/v1/instances?${query}`)).json;
        for (const one of page.instances) ids.push(one.id);
        cursor = page.next_cursor;
        if (!cursor) break;
    }
    return actOn(action, ids, told);
}
