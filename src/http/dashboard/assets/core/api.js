// Requests to the API, and whether it answers.
import { signal } from './html.js';
import { url } from './base.js';
import { navigate } from './router.js';

/** `joining` until the first answer, `away` while the daemon does not answer, `polling` while it has no stream left.
 * @type {Signal<'joining' | 'live' | 'polling' | 'away'>} */
export const connection = signal(/** @type {any} */ ('joining'));

/** When we last had word of the daemon: a time in ms. */
export const heard = signal(Date.now());

/** The server said no: `problem` tells why. */
export class Refused extends Error {
    /** @param {Problem} problem @param {Headers} headers */
    constructor(problem, headers) {
        super(problem.detail);
        this.problem = problem;
        this.status = problem.status;
        this.headers = headers;
    }
}

/** There was no answer. */
export class Away extends Error {}

/** Whether an error only says that we ended the request ourselves. @param {unknown} error */
export const isAbort = (error) => error instanceof DOMException && error.name === 'AbortError';

/** Sends a request; throws `Away` without an answer, `Refused` with one that is no success. To a 401 it also goes to
 * the login page. @param {string} path @param {RequestInit} options @returns {Promise<Response>} */
export async function request(path, options) {
    let response;
    try {
        response = await fetch(url(path), { credentials: 'same-origin', ...options });
    } catch (error) {
        if (isAbort(error)) throw error;
        connection.value = 'away';
        throw new Away('The daemon does not answer.');
    }
    if (response.status === 502 || response.status === 504) {
        connection.value = 'away';
        throw new Away('The proxy has no answer from the daemon.');
    }
    heard.value = Date.now();
    if (response.ok || response.status === 304) return response;
    const problem = await problemOf(response);
    if (response.status === 401 && path !== '/login') askLogin();
    throw new Refused(problem, response.headers);
}

/** Goes to the login page, to come back here. */
export function askLogin() {
    if (location.pathname === url('/login')) return;
    const here = location.pathname.slice(url('').length) + location.search + location.hash;
    navigate(`/login?next=${encodeURIComponent(here || '/')}`, { replace: true });
}

/** @param {Response} response @returns {Promise<Problem>} */
async function problemOf(response) {
    const text = await response.text();
    try {
        const problem = JSON.parse(text);
        if (typeof problem.detail === 'string') return problem;
    } catch {
        // Not ours: a proxy's page.
    }
    const title = response.statusText || `Status ${response.status}`;
    return { type: 'about:blank', title, status: response.status, detail: text.slice(0, 200) || title };
}

/** An answer. `text` is what the server wrote, to be shown; `json` is for deciding only: it rounds integers above 2^53.
 * @typedef {{status: number, headers: Headers, text: string, json: any}} Answer */

/** @param {string} path @param {{signal?: AbortSignal, accept?: string}} [options] @returns {Promise<Answer>} */
export async function get(path, { signal: abort, accept = 'application/json' } = {}) {
    return answer(await request(path, { signal: abort, headers: { Accept: accept } }));
}

/** @param {string} method @param {string} path @param {string} [body] JSON text @param {Record<string, string>} [headers]
 * @returns {Promise<Answer>} */
export async function send(method, path, body, headers = {}) {
    const all = { Accept: 'application/json', ...(body === undefined ? {} : { 'Content-Type': 'application/json' }), ...headers };
    return answer(await request(path, { method, body, headers: all }));
}

/** @param {Response} response @returns {Promise<Answer>} */
async function answer(response) {
    let text;
    try {
        text = await response.text();
    } catch (error) {
        if (isAbort(error)) throw error;
        throw new Away('The answer broke off.');
    }
    /** @type {any} */
    let parsed;
    return {
        status: response.status,
        headers: response.headers,
        text,
        get json() {
            return (parsed ??= text ? JSON.parse(text) : null);
        },
    };
}
