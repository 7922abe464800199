// Which part of a log is in the page, and whether it grows: the last lines first, older ones as the reader scrolls up,
// what comes while it is followed.
import { signal } from '../core/html.js';
import { Away, isAbort, Refused } from '../core/api.js';
import { followLog, readLog } from '../core/log_source.js';
import { place } from '../core/turn.js';
import { LogLines } from './log_lines.js';

const PART = 500; // lines
const FEW = 5_000; // lines that wait to be shown; of more only the last ones are
const FLUSH = 250; // ms: at most four renders a second
const POLL = 500; // ms
const STREAMS = 3; // that the tabs of a browser have at once; further ones ask now and then
const NEAR = 800; // px from an end, within which the next part is fetched
const FILTERED_TAIL = 10_000; // lines: older ones that match cannot be asked for by their place

export class LogReader {
    /** Why there is nothing to read. */
    error = signal(/** @type {Error | null} */ (null));
    /** What the reader has to know of what is shown. */
    note = signal('');
    /** Whether the first lines were read. */
    ready = signal(false);
    following = signal(false);
    /** Whether it has a stream of its own. */
    streaming = signal(false);
    /** Whether the log is complete and its end is in the page. */
    ended = signal(false);
    /** The first and last line in the page. */
    span = signal(/** @type {[number, number]} */ ([0, 0]));

    /** @type {AbortController | null} */ #follow = null;
    /** Ends everything that was asked for other lines than those in the page. */
    #epoch = new AbortController();
    #atStart = false;
    #atEnd = false;
    #loading = false;
    #next = 1;
    #top = 0;
    /** The last lines that match, once older ones were asked for. @type {LogLine[] | null} */
    #found = null;

    /** @param {HTMLElement} box @param {string} id @param {{stream: boolean}} how  `stream`: follow by a stream of its own */
    constructor(box, id, how) {
        this.lines = new LogLines(box);
        this.box = box;
        this.id = id;
        this.how = how;
        this.filter = { stream: '', grep: '' };
        this.marked = /** @type {[number, number] | null} */ (null);
    }

    /** Begins anew: at a line, or at the end and following. @param {number | null} at */
    open(at) {
        this.stop();
        this.#clear();
        this.ended.value = this.#atEnd = false;
        if (at === null) return this.follow();
        const from = Math.max(1, at - 100);
        void this.#part({ from, limit: PART }, page => {
            const last = page.lines.at(-1)?.seq ?? 0;
            if (!last || (last < at && !this.#filtered)) {
                this.follow();
                if (!this.#filtered) this.note.value = `There is no line ${at.toLocaleString()}. This is the end.`;
                return;
            }
            this.lines.append(page.lines);
            this.#atStart = from === 1;
            this.#read(page, PART);
            this.#toLine(at);
        });
    }

    /** Shows the end, and what comes. */
    follow() {
        if (this.#follow) return;
        const own = (this.#follow = new AbortController());
        this.following.value = true;
        if (!this.#atEnd) {
            this.#clear();
            this.#next = 0;
        }
        this.#toEnd();
        void this.#run(own);
    }

    /** Takes all lines away, until others were read. */
    #clear() {
        this.#epoch.abort();
        this.#epoch = new AbortController();
        this.#loading = this.#atStart = this.ready.value = false;
        this.#found = this.error.value = null;
        this.note.value = '';
        this.span.value = [0, 0];
        this.lines.clear();
    }

    /** Ends following. */
    stop() {
        this.#follow?.abort();
        this.#follow = null;
        this.following.value = false;
    }

    /** Ends all; the reader is not used after it. */
    close() {
        this.stop();
        this.#epoch.abort();
    }

    /** Marks lines, and no others. @param {[number, number] | null} range */
    mark(range) {
        this.marked = range;
        this.lines.mark(range);
    }

    /** The reader has scrolled. */
    scrolled() {
        const { scrollTop, scrollHeight, clientHeight } = this.box;
        const up = scrollTop < this.#top - 1;
        this.#top = scrollTop;
        const below = scrollHeight - scrollTop - clientHeight;
        if (up && below > 30 && this.following.peek()) this.stop();
        if (!this.ready.peek() || !this.lines.count) return;
        if (scrollTop < NEAR && !this.#atStart) void this.older();
        else if (below < NEAR && !this.#atEnd && !this.following.peek()) void this.newer();
        else if (!up && below < 2 && this.#atEnd && !this.ended.peek() && !this.following.peek()) this.follow();
    }

    /** Reads what stands before the first line. */
    async older() {
        const first = this.lines.first;
        const from = Math.max(1, first - PART);
        // The server finds the last lines that match, but not those before a line.
        if (this.#filtered && !this.#found) await this.#part({ tail: FILTERED_TAIL }, page => (this.#found = page.lines));
        if (!this.#filtered) {
            await this.#part({ from, limit: first - from || 1 }, page => this.#prepend(page.lines, from === 1));
        } else if (this.#found) {
            const older = this.#found.filter(line => line.seq < this.lines.first);
            this.#prepend(older.slice(-PART), older.length <= PART);
            if (this.#atStart && this.#found.length === FILTERED_TAIL) this.note.value = 'Only the last 10,000 lines that match are shown.';
            this.#shown();
        }
    }

    /** @param {LogLine[]} lines @param {boolean} all  whether there are none before them */
    #prepend(lines, all) {
        this.#atStart = all;
        // What was dropped at the end has to be read again, and so nothing can be followed from here.
        if (!this.lines.prepend(lines.filter(line => line.seq < this.lines.first))) return;
        this.ended.value = this.#atEnd = false;
        this.stop();
    }

    /** Reads what stands after the last line. */
    newer() {
        return this.#part({ from: this.lines.last + 1, limit: PART }, page => {
            if (this.lines.append(page.lines)) this.#atStart = false;
            this.#read(page, PART);
        });
    }

    get #filtered() {
        return this.filter.grep !== '' || this.filter.stream !== '';
    }

    /** @param {import('../core/log_source.js').LogPage} page @param {number} limit */
    #read(page, limit) {
        this.#next = page.next ?? this.lines.last + 1;
        this.#atEnd = page.next === null || page.lines.length < limit;
        if (page.next === null) this.ended.value = true;
    }

    /** Reads one part, unless one is being read; tries again while the daemon is away. @param {Record<string, number>} window
     * @param {(page: import('../core/log_source.js').LogPage) => void} take */
    async #part(window, take) {
        if (this.#loading) return;
        const { signal } = this.#epoch;
        this.#loading = true;
        for (let wait = 500; this.#loading && !signal.aborted; wait = Math.min(wait * 2, 5_000)) {
            try {
                const page = await readLog(this.id, this.filter, window, signal);
                this.error.value = null;
                take(page);
            } catch (error) {
                if (signal.aborted) return;
                if (error instanceof Away) {
                    await pause(wait, signal);
                    continue;
                }
                this.#failed(error);
            }
            // Unless `take` has begun anew.
            if (signal.aborted) return;
            this.#loading = false;
            if (!this.error.peek()) this.#shown();
        }
    }

    /** @param {unknown} error */
    #failed(error) {
        if (!(error instanceof Error)) throw error;
        this.error.value = error;
        this.stop();
    }

    #shown() {
        this.lines.mark(this.marked);
        this.span.value = [this.lines.first, this.lines.last];
        this.ready.value = true;
        this.#top = this.box.scrollTop;
        this.onShown?.();
    }

    /** Called when other lines are in the page. @type {(() => void) | undefined} */
    onShown;

    /** @param {number} seq */
    #toLine(seq) {
        const line = this.lines.line(seq);
        // Twice: what the browser has not laid out yet has no sure height where lines are wrapped.
        for (let i = 0; line && i < 2; i++) {
            const above = line.getBoundingClientRect().top - this.box.getBoundingClientRect().top;
            this.box.scrollTop += above - this.box.clientHeight / 3;
        }
        this.#top = this.box.scrollTop;
    }

    #toEnd() {
        this.box.scrollTop = this.box.scrollHeight;
        this.#top = this.box.scrollTop;
    }

    /** Follows until the log is complete or the reader looks elsewhere. @param {AbortController} own */
    async #run(own) {
        while (!own.signal.aborted) {
            const leave = this.how.stream ? await place('taskwright.log', STREAMS) : null;
            if (!own.signal.aborted) this.streaming.value = leave !== null;
            try {
                await this.#whileSeen(own, leave !== null);
            } finally {
                leave?.();
                if (!this.#follow || this.#follow === own) this.streaming.value = false;
            }
            if (document.hidden) await shown(own.signal);
        }
    }

    /** @param {AbortController} own @param {boolean} streams */
    async #whileSeen(own, streams) {
        let wait = 500;
        while (!own.signal.aborted && !document.hidden) {
            try {
                if (await this.#catchUp(own.signal)) return this.#complete(own);
                if (own.signal.aborted) return;
                if (streams) await this.#stream(own);
                else await pause(POLL, own.signal);
                wait = 500;
            } catch (error) {
                if (own.signal.aborted) return;
                if (error instanceof Refused && error.status !== 503) return this.#failed(error);
                if (isAbort(error)) continue;
                await pause(wait, own.signal);
                wait = Math.min(wait * 2, 5_000);
            }
        }
    }

    /** @param {AbortController} own */
    #complete(own) {
        if (!own.signal.aborted) this.stop();
    }

    /** Reads up to the present. @param {AbortSignal} abort @returns {Promise<boolean>} whether the log is complete */
    async #catchUp(abort) {
        const limit = 2 * PART;
        let page = await readLog(this.id, this.filter, this.#next ? { from: this.#next, limit } : { tail: PART }, abort);
        if (this.#next && page.lines.length === limit) page = await readLog(this.id, this.filter, { tail: PART }, abort);
        if (abort.aborted) return true;
        this.error.value = null;
        this.#take(page.lines);
        this.#read(page, Infinity);
        return page.next === null;
    }

    /** Follows by a stream, which is closed while nobody sees the page. @param {AbortController} own */
    async #stream(own) {
        /** @type {LogLine[]} */
        let waiting = [];
        /** @type {number | undefined} */
        let timer;
        const flush = () => {
            timer = undefined;
            if (!own.signal.aborted) this.#take(waiting);
            waiting = [];
        };
        const part = new AbortController();
        const end = () => part.abort();
        const hide = () => document.hidden && end();
        own.signal.addEventListener('abort', end);
        document.addEventListener('visibilitychange', hide);
        try {
            await followLog(this.id, this.filter, this.#next, lines => {
                waiting = waiting.concat(lines);
                if (waiting.length > 2 * FEW) waiting = waiting.slice(-FEW);
                timer ??= setTimeout(flush, FLUSH);
            }, part.signal);
        } finally {
            clearTimeout(timer);
            flush();
            own.signal.removeEventListener('abort', end);
            document.removeEventListener('visibilitychange', hide);
        }
    }

    /** Shows new lines at the end. @param {LogLine[]} lines */
    #take(lines) {
        const fresh = lines.filter(line => line.seq > this.lines.last);
        if (!fresh.length) {
            if (!this.ready.peek()) this.#shown();
            return;
        }
        // Lines that were left out are older ones now.
        const gap = !this.#filtered && this.lines.count > 0 && fresh[0].seq !== this.lines.last + 1;
        if (gap) this.#clear();
        if (this.lines.append(fresh) || gap) this.#atStart = false;
        if (this.lines.first === 1) this.#atStart = true;
        this.#next = this.lines.last + 1;
        this.#atEnd = true;
        this.#toEnd();
        this.#shown();
    }
}

/** @param {number} ms @param {AbortSignal} abort */
function pause(ms, abort) {
    return new Promise(done => {
        const timer = setTimeout(done, ms);
        abort.addEventListener('abort', () => (clearTimeout(timer), done(undefined)), { once: true });
    });
}

/** Waits until the tab is seen. @param {AbortSignal} abort */
function shown(abort) {
    return new Promise(done => {
        const look = () => {
            if (document.hidden && !abort.aborted) return;
            document.removeEventListener('visibilitychange', look);
            done(undefined);
        };
        document.addEventListener('visibilitychange', look);
        abort.addEventListener('abort', look, { once: true });
    });
}
