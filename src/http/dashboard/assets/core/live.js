// The stream of changes. One visible tab of a browser reads it, and tells the others (browsers allow six connections to
// an origin); it is closed while the tab is hidden, and taken up again where it was.
import { connection, heard, isAbort, request, Refused } from './api.js';
import { base } from './base.js';
import { inTurn } from './turn.js';

/** What happened since the last call: the newest state of each changed instance, by id; and, with `resync`, something
 * that is not known, so that the reader must fetch anew what it asked for before `at`.
 * @typedef {{changed: Map<string, Summary>, resync: boolean, at: number}} News */

const FLUSH = 250; // ms: at most four renders a second
const SILENCE = 40_000; // ms: a heartbeat comes every 15 s
const MOST = 2_000; // changed instances a flush; beyond it, reading anew is cheaper

/** @type {Set<(news: News) => void>} */
const listeners = new Set();
/** The newest line of each instance, not yet parsed. @type {Map<string, string>} */
let waiting = new Map();
/** When we last saw that something is not known; 0 for nothing. */
let lostAt = 0;
/** @type {number | undefined} */
let flushing;
let lastId = '';
/** @type {AbortController | null} */
let stream = null;
/** @type {(() => void) | null} */
let wake = null;
/** Told while this tab waits for its turn. @type {AbortController | null} */
let waitingTurn = null;
/** Whether this tab reads the stream, rather than hearing from the one that does. */
let leads = false;
/** Whether we were told that our token is none, so that trying again is of no use. */
let loggedOut = false;
/** Whether something may have been missed since this tab rested. */
let gap = false;
/** How many readers have a stream of their own in place of this one. */
let held = 0;

/** A daemon that is away is asked for also by those that hold: this stream finds out when it is back. */
const resting = () => document.hidden || (held > 0 && connection.peek() !== 'away');

/** What the tab that leads tells the others; `ask` is what they say to it.
 * @typedef {{ask?: true, state?: 'joining' | 'live' | 'polling' | 'away', lines?: string[]}} Word */

const FEED = `taskwright.feed ${base}`;
const others = 'BroadcastChannel' in globalThis ? new BroadcastChannel(FEED) : null;
/** @param {Word} word */
const tell = (word) => others?.postMessage(word);

/** @param {Word} word */
function hear({ ask, state, lines }) {
    if (ask && leads) tell({ state: connection.peek() });
    if (ask || leads || resting()) return;
    const now = state ?? 'live';
    if (gap || now === 'polling' || (now === 'live' && connection.peek() === 'away')) lost();
    gap = false;
    if (now !== 'away') heard.value = Date.now();
    if (now !== 'joining') connection.value = now;
    lines?.forEach(take);
}

function rest() {
    stream?.abort();
    waitingTurn?.abort();
    wake?.();
}

/** The newest state of an instance that the news tells of. @param {News} news @param {string} id number or UUID */
export function newsOf({ changed }, id) {
    const known = changed.get(id.toLowerCase());
    if (known || !/^\d+$/.test(id)) return known;
    for (const one of changed.values()) if (one.number === Number(id)) return one;
    return undefined;
}

/** Hears of changes until the returned function is called. @param {(news: News) => void} listener */
export function subscribe(listener) {
    listeners.add(listener);
    return () => void listeners.delete(listener);
}

/** Closes the stream for a page that reads another one, until the returned function is called. */
export function hold() {
    held += 1;
    rest();
    let holds = true;
    return () => {
        if (!holds) return;
        holds = false;
        held -= 1;
        wake?.();
    };
}

function flush() {
    flushing = undefined;
    const news = { changed: new Map(), resync: lostAt > 0, at: lostAt };
    // Told also where something before them is not known: who asked after that need not read anew, and wants these.
    if (waiting.size <= MOST) for (const [id, line] of waiting) news.changed.set(id, JSON.parse(line).data);
    waiting = new Map();
    lostAt = 0;
    for (const listener of listeners) listener(news);
}

function schedule() {
    flushing ??= setTimeout(flush, FLUSH);
}

function lost() {
    lostAt = Date.now();
    schedule();
}

/** @param {string} line */
function take(line) {
    const head = /^\{"event":"(\w+)","id":"([^"]*)","data":(?:\{"id":"([^"]+)")?/.exec(line);
    if (!head) return;
    lastId = head[2];
    if (head[1] === 'instance' && head[3]) {
        waiting.delete(head[3]);
        waiting.set(head[3], line);
        if (waiting.size > MOST) lost();
        else schedule();
    } else if (head[1] === 'resync' || line.includes('"resumed":false')) {
        lost();
    }
}

/** Reads the stream to its end. @param {AbortController} own */
async function read(own) {
    const query = lastId && `?after=${encodeURIComponent(lastId)}`;
    const response = await request(`/v1/events${query}`, { signal: own.signal, headers: { Accept: 'application/x-ndjson' } });
    const reader = /** @type {ReadableStream<Uint8Array>} */ (response.body).getReader();
    const decoder = new TextDecoder();
    /** @type {number | undefined} */
    let silence;
    let rest = '';
    if (connection.peek() === 'away') lost();
    connection.value = 'live';
    if (resting()) return own.abort();
    try {
        for (;;) {
            clearTimeout(silence);
            silence = setTimeout(() => own.abort(), SILENCE);
            const { done, value } = await reader.read();
            if (done) return;
            heard.value = Date.now();
            const lines = (rest + decoder.decode(value, { stream: true })).split('\n');
            rest = /** @type {string} */ (lines.pop());
            lines.forEach(take);
            tell({ lines });
        }
    } finally {
        clearTimeout(silence);
    }
}

/** @param {number} ms */
const pause = (ms) =>
    new Promise((done) => {
        const timer = setTimeout(done, ms);
        wake = () => (clearTimeout(timer), done(undefined));
    });

/** Reads the stream, again and again, until the tab rests. */
async function lead() {
    let wait = 500;
    leads = true;
    gap = false;
    while (!resting() && !loggedOut) {
        const own = (stream = new AbortController());
        const began = Date.now();
        try {
            await read(own);
        } catch (error) {
            if (error instanceof Refused && error.status === 401) {
                loggedOut = true;
            } else if (error instanceof Refused) {
                // It is there, but has no stream for us: what is shown is read anew now and then.
                connection.value = 'polling';
                tell({ state: 'polling' });
                lost();
            } else if (!isAbort(error) || !resting()) {
                connection.value = 'away';
            }
        }
        stream = null;
        if (resting() || loggedOut) break;
        if (Date.now() - began > 5_000) wait = 500;
        await pause(wait * (0.75 + Math.random() / 2));
        wait = Math.min(wait * 2, 5_000);
    }
    leads = false;
}

async function run() {
    while (!loggedOut) {
        if (resting()) {
            gap = true;
            await pause(2 ** 30);
            continue;
        }
        tell({ ask: true });
        waitingTurn = new AbortController();
        await inTurn(FEED, waitingTurn.signal, lead);
    }
}

/** Begins to follow; called once. */
export function startLive() {
    document.addEventListener('visibilitychange', () => {
        if (document.hidden) rest();
        else wake?.();
    });
    others?.addEventListener('message', (/** @type {MessageEvent<Word>} */ event) => hear(event.data));
    addEventListener('online', () => wake?.());
    // A request had no answer: whether the stream still lives is not worth 40 s of doubt.
    connection.subscribe((state) => {
        if (leads) tell({ state });
        if (state === 'away') (stream?.abort(), wake?.());
    });
    void run();
}

/** Tries at once, rather than when the wait is over. */
export const tryNow = () => wake?.();
