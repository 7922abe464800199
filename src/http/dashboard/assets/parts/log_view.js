// A log with its tools: search on the server, follow, wrap, times, links to lines, download.
import { html, signal, useEffect, useRef, useState } from '../core/html.js';
import { url } from '../core/base.js';
import { useKeys } from '../core/keys.js';
import { hold } from '../core/live.js';
import { copyText } from './copy_as.js';
import { Icon } from './icon.js';
import { LogReader } from './log_reader.js';
import { ProblemNote } from './problem.js';

const STORED = 'taskwright.log';
const MOST_MARKS = 2_000; // places of the searched text that are marked in the page

/** How logs are shown, in this browser. */
const look = signal({ wrap: false, times: false, raw: false, ...JSON.parse(localStorage.getItem(STORED) ?? '{}') });

/** @param {'wrap' | 'times' | 'raw'} name */
function toggle(name) {
    look.value = { ...look.peek(), [name]: !look.peek()[name] };
    localStorage.setItem(STORED, JSON.stringify(look.peek()));
}

/** `#L120-L130` as first and last line. @param {string} hash @returns {[number, number] | null} */
export function rangeOf(hash) {
    const found = /^#L(\d+)(?:-L?(\d+))?$/.exec(hash);
    if (!found) return null;
    const [a, b] = [Number(found[1]), Number(found[2] ?? found[1])];
    return [Math.min(a, b), Math.max(a, b)];
}

/** @param {[number, number] | null} range */
const hashOf = range => (!range ? '' : range[0] === range[1] ? `#L${range[0]}` : `#L${range[0]}-L${range[1]}`);

/** @param {{id: string, own: boolean, live?: boolean, filter?: {stream: string, grep: string}, onFilter?: (filter: {stream: string, grep: string}) => void, onEnd?: () => void}} props
 * `own`: the page is for the log alone, so its stream takes the place of the feed; `live`: the instance is not done */
export default function LogView({ id, own, live = true, filter: first = { stream: '', grep: '' }, onFilter, onEnd }) {
    const box = useRef(/** @type {HTMLDivElement | null} */ (null));
    const field = useRef(/** @type {HTMLInputElement | null} */ (null));
    const [reader, setReader] = useState(/** @type {LogReader | null} */ (null));
    const [filter, setFilter] = useState(first);
    const [range, setRange] = useState(() => rangeOf(location.hash));
    const [problem, setProblem] = useState(/** @type {unknown} */ (null));

    useEffect(() => {
        if (!box.current) return;
        const made = new LogReader(box.current, id, { stream: own });
        made.filter = first;
        made.marked = rangeOf(location.hash);
        made.lines.raw = look.peek().raw;
        setReader(made);
        made.open(made.marked?.[0] ?? null);
        return () => made.close();
    }, [id]);

    const following = reader?.following.value ?? false;
    const streaming = reader?.streaming.value ?? false;
    useEffect(() => (streaming ? hold() : undefined), [streaming]);
    const ended = reader?.ended.value ?? false;
    useEffect(() => {
        if (ended) onEnd?.();
    }, [ended]);
    useEffect(() => {
        if (!reader) return;
        reader.onShown = () => markText(reader.box, reader.filter.grep);
        return () => CSS.highlights?.delete('found');
    }, [reader]);

    // An address that was changed by hand, or by a link to lines.
    useEffect(() => {
        const changed = () => {
            const asked = rangeOf(location.hash);
            setRange(asked);
            reader?.mark(asked);
            if (asked) reader?.open(asked[0]);
        };
        addEventListener('hashchange', changed);
        return () => removeEventListener('hashchange', changed);
    }, [reader]);

    /** @param {{stream: string, grep: string}} next @param {number | null} at */
    const refilter = (next, at = null) => {
        setFilter(next);
        if (!reader) return;
        reader.filter = next;
        reader.open(at);
        onFilter?.(next);
    };
    /** @param {[number, number] | null} next */
    const select = next => {
        history.replaceState(history.state, '', location.pathname + location.search + hashOf(next));
        setRange(next);
        reader?.mark(next);
    };
    const follow = () => {
        if (!reader) return;
        select(null);
        if (reader.ended.peek()) box.current?.scrollTo(0, box.current.scrollHeight);
        else reader.follow();
    };
    useKeys(
        [
            { keys: 'f', does: 'Follow the log', run: follow },
            { keys: '/', does: 'Search the log', run: () => field.current?.focus() },
            { keys: 't', does: 'Show the time of each line', run: () => toggle('times') },
        ],
        [reader],
    );

    /** @param {MouseEvent} event */
    const clicked = event => {
        const line = /** @type {HTMLElement} */ (event.target).closest?.('.ln');
        if (!(line instanceof HTMLElement) || !reader) return;
        const gutter = parseFloat(getComputedStyle(line, '::before').width);
        if (!(event.clientX - line.getBoundingClientRect().left <= gutter)) return;
        const seq = Number(line.dataset.n);
        const from = event.shiftKey && range ? range[0] : seq;
        getSelection()?.removeAllRanges();
        // Between the lines that match there are others: the link is to the line among those.
        if (filter.grep || filter.stream) refilter({ stream: '', grep: '' }, seq);
        else reader.stop();
        select([Math.min(from, seq), Math.max(from, seq)]);
    };

    /** @param {SubmitEvent} event */
    const search = event => {
        event.preventDefault();
        const form = /** @type {HTMLFormElement} */ (event.target);
        refilter({ ...filter, grep: String(new FormData(form).get('grep') ?? '') });
    };
    /** @param {SubmitEvent} event */
    const goTo = event => {
        event.preventDefault();
        const field = /** @type {HTMLInputElement} */ (/** @type {HTMLFormElement} */ (event.target).elements.namedItem('line'));
        const asked = rangeOf(`#L${field.value.trim().replace(/^L/i, '')}`);
        if (!asked) return;
        refilter({ stream: '', grep: '' }, asked[0]);
        select(asked);
        box.current?.focus();
    };
    const download = async () => {
        setProblem(null);
        try {
            const { wholeLog } = await import('../core/whole_log.js');
            const link = document.createElement('a');
            link.href = URL.createObjectURL(await wholeLog(id, filter));
            link.download = `taskwright-${id}.log`;
            link.click();
            setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
        } catch (error) {
            setProblem(error);
        }
    };
    const raw = () => {
        toggle('raw');
        if (!reader) return;
        const at = reader.following.peek() || reader.ended.peek() ? null : Math.min(top + 100, bottom);
        reader.lines.raw = look.peek().raw;
        reader.open(at);
    };

    const shown = look.value;
    const [top, bottom] = reader?.span.value ?? [0, 0];
    const empty = reader?.ready.value && !bottom;
    return html`<section class=${`log ${own ? 'alone' : ''}`} aria-label="Log">
        <div class="logtools">
            <form role="search" onSubmit=${search}>
                <input ref=${field} type="search" name="grep" placeholder="Search the log" aria-label="Search the log" value=${filter.grep} onSearch=${onCleared(filter, refilter)} />
                <button class="quiet" aria-label="Search"><${Icon} name="search" /></button>
            </form>
            <label><input type="checkbox" checked=${filter.stream === 'stderr'} onChange=${() => refilter({ ...filter, stream: filter.stream ? '' : 'stderr' })} /> stderr only</label>
            <label><input type="checkbox" checked=${shown.wrap} onChange=${() => toggle('wrap')} /> Wrap</label>
            <label><input type="checkbox" checked=${shown.times} onChange=${() => toggle('times')} /> Times</label>
            <label><input type="checkbox" checked=${shown.raw} onChange=${raw} /> Raw</label>
            <form onSubmit=${goTo}><input name="line" class="lineno" inputmode="numeric" placeholder="Line" aria-label="Go to line, or lines such as 120-130" autocomplete="off" /></form>
            <span class="spring"></span>
            ${range && html`<button type="button" class="quiet" onClick=${() => copyText(location.origin + url(`/instances/${id}/logs${hashOf(range)}`))}>
                <${Icon} name="copy" /> Link to ${range[0] === range[1] ? `line ${range[0]}` : `lines ${range[0]}–${range[1]}`}
            </button>`}
            ${!own && html`<a href=${url(`/instances/${id}/logs${hashOf(range)}`)}>Log alone</a>`}
            <button type="button" class="quiet" onClick=${download}><${Icon} name="download" /> Download</button>
        </div>
        <${ProblemNote} error=${problem ?? reader?.error.value} />
        <p class="lognote" role="status">${reader?.note.value}</p>
        <div class="logframe">
            <div ref=${box} class=${`logbox${shown.wrap ? ' wrap' : ''}${shown.times ? ' times' : ''}`} tabindex="0" role="region" aria-label="Lines of the log"
                onScroll=${() => reader?.scrolled()} onClick=${clicked}></div>
            ${empty && html`<p class="logempty">${filter.grep || filter.stream ? 'No line matches.' : ended ? 'It wrote nothing.' : 'Nothing was written yet.'}</p>`}
            ${reader?.ready.value && !following && !ended && html`<button type="button" class="pill" onClick=${follow}>${live ? 'Follow' : 'To the end'} <kbd>f</kbd></button>`}
        </div>
        <p class="logstate" role="status">
            ${following ? 'Following' : ended ? 'Complete' : !reader?.ready.value ? (reader?.error.value ? 'Not read' : 'Reading') : live ? 'Not following' : 'A part'}
            ${bottom > 0 && html`<span class="num" aria-live="off"> · lines ${top.toLocaleString()}–${bottom.toLocaleString()}</span>`}
        </p>
    </section>`;
}

/** The cross of the search field empties it, and the log with it.
 * @param {{stream: string, grep: string}} filter @param {(next: {stream: string, grep: string}) => void} refilter */
const onCleared = (filter, refilter) => (/** @type {Event} */ event) => {
    if (!(/** @type {HTMLInputElement} */ (event.target).value) && filter.grep) refilter({ ...filter, grep: '' });
};

/** Marks what was searched, without a node for it. @param {HTMLElement} box @param {string} text */
function markText(box, text) {
    if (!CSS.highlights) return;
    CSS.highlights.delete('found');
    if (!text) return;
    const ranges = [];
    const nodes = document.createTreeWalker(box, NodeFilter.SHOW_TEXT);
    while (nodes.nextNode() && ranges.length < MOST_MARKS) {
        const node = /** @type {Text} */ (nodes.currentNode);
        for (let at = node.data.indexOf(text); at >= 0; at = node.data.indexOf(text, at + text.length)) {
            const range = document.createRange();
            range.setStart(node, at);
            range.setEnd(node, at + text.length);
            ranges.push(range);
        }
    }
    CSS.highlights.set('found', new Highlight(...ranges));
}
