// The lines of a log in the page: chunks of a few hundred, of which the browser lays out only what is seen, and of
// which those far away are dropped. Two nodes a line, so it is made by hand and not by a component.
import { append } from '../core/ansi.js';

const CHUNK = 200; // lines
const MOST_LINES = 5_000;
const MOST_NODES = 4_800;

/** @typedef {{node: HTMLElement, lines: number, nodes: number, first: LogLine, last: LogLine}} Chunk */

export class LogLines {
    /** @type {Chunk[]} */
    #chunks = [];
    #lines = 0;
    #nodes = 0;
    /** Escape sequences as they stand, in place of colours. */
    raw = false;

    /** @param {HTMLElement} box  what scrolls */
    constructor(box) {
        this.box = box;
    }

    get count() {
        return this.#lines;
    }

    get first() {
        return this.#chunks[0]?.first.seq ?? 0;
    }

    get last() {
        return this.#chunks.at(-1)?.last.seq ?? 0;
    }

    clear() {
        for (const chunk of this.#chunks) chunk.node.remove();
        this.#chunks = [];
        this.#lines = this.#nodes = 0;
    }

    /** Adds at the end; what is seen stays where it is. @param {LogLine[]} lines @returns {boolean} whether lines were dropped at the top for it */
    append(lines) {
        let at = 0;
        const last = this.#chunks.at(-1);
        const before = last?.node.getBoundingClientRect().top ?? 0;
        if (last && last.lines < CHUNK) {
            at = Math.min(CHUNK - last.lines, lines.length);
            const nodes = last.nodes;
            this.#fill(last, lines.slice(0, at));
            this.#lines += at;
            this.#nodes += last.nodes - nodes;
        }
        for (; at < lines.length; at += CHUNK) {
            const chunk = this.#make(lines.slice(at, at + CHUNK), this.#chunks.at(-1)?.last);
            this.box.append(chunk.node);
            this.#chunks.push(chunk);
        }
        const dropped = this.#trim(() => this.#chunks.shift());
        if (dropped && last?.node.isConnected) this.box.scrollTop += last.node.getBoundingClientRect().top - before;
        return dropped;
    }

    /** Adds at the top; what is seen stays where it is. @param {LogLine[]} lines
     * @returns {boolean} whether lines were dropped at the end for it */
    prepend(lines) {
        const anchor = this.#chunks[0]?.node;
        const before = anchor?.getBoundingClientRect().top ?? 0;
        for (let end = lines.length; end > 0; end -= CHUNK) {
            const start = Math.max(0, end - CHUNK);
            const chunk = this.#make(lines.slice(start, end), lines[start - 1]);
            this.box.prepend(chunk.node);
            this.#chunks.unshift(chunk);
        }
        if (anchor) this.box.scrollTop += anchor.getBoundingClientRect().top - before;
        return this.#trim(() => this.#chunks.pop());
    }

    /** The element of a line, or the next one that is there. @param {number} seq @returns {HTMLElement | null} */
    line(seq) {
        const chunk = this.#chunks.find(one => one.last.seq >= seq);
        for (const node of chunk?.node.children ?? []) if (Number(/** @type {HTMLElement} */ (node).dataset.n) >= seq) return /** @type {HTMLElement} */ (node);
        return null;
    }

    /** Marks the lines of a range, and no others. @param {[number, number] | null} range */
    mark(range) {
        for (const node of this.box.querySelectorAll('.marked')) node.classList.remove('marked');
        if (!range) return;
        for (const chunk of this.#chunks) {
            if (chunk.last.seq < range[0] || chunk.first.seq > range[1]) continue;
            for (const node of chunk.node.children) {
                const seq = Number(/** @type {HTMLElement} */ (node).dataset.n);
                if (seq >= range[0] && seq <= range[1]) node.classList.add('marked');
            }
        }
    }

    /** @param {LogLine[]} lines @param {LogLine | undefined} before @returns {Chunk} */
    #make(lines, before) {
        const node = document.createElement('div');
        node.className = 'chunk';
        const chunk = { node, lines: 0, nodes: 1, first: lines[0], last: before ?? lines[0] };
        this.#fill(chunk, lines);
        this.#lines += chunk.lines;
        this.#nodes += chunk.nodes;
        return chunk;
    }

    /** @param {Chunk} chunk @param {LogLine[]} lines */
    #fill(chunk, lines) {
        for (const line of lines) {
            const node = document.createElement('div');
            node.className = `ln ${line.stream}`;
            node.dataset.n = String(line.seq);
            node.dataset.t = clock(line.time);
            if (line.attempt !== chunk.last.attempt) {
                node.classList.add('turn');
                node.dataset.attempt = String(line.attempt);
            }
            chunk.nodes += 1;
            if (this.raw) {
                node.append(line.text);
                chunk.nodes += 1;
            } else {
                chunk.nodes += append(node, line.text);
            }
            chunk.node.append(node);
            chunk.last = line;
        }
        chunk.lines += lines.length;
        // So that the scroll bar is right before the browser has laid it out.
        chunk.node.style.setProperty('--lines', String(chunk.lines));
    }

    /** @param {() => Chunk | undefined} take @returns {boolean} whether something was dropped */
    #trim(take) {
        let dropped = false;
        while (this.#chunks.length > 1 && (this.#lines > MOST_LINES || this.#nodes > MOST_NODES)) {
            const chunk = take();
            if (!chunk) break;
            this.#lines -= chunk.lines;
            this.#nodes -= chunk.nodes;
            chunk.node.remove();
            dropped = true;
        }
        return dropped;
    }
}

/** The reader's wall clock, to the millisecond. @param {string} time RFC 3339 */
function clock(time) {
    const at = new Date(time);
    const two = (/** @type {number} */ n) => String(n).padStart(2, '0');
    return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}.${String(at.getMilliseconds()).padStart(3, '0')}`;
}
