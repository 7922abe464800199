// A list of instances that stays true: read by pages, changed by the news.
import { useCallback, useEffect, useMemo, useRef, useState } from './html.js';
import { Away, get, isAbort } from './api.js';
import { matches, readFilters } from './filters.js';
import { subscribe } from './live.js';

/** @typedef {{rows: Summary[] | null, waiting: number, more: boolean, busy: boolean, error: unknown,
 *  showWaiting: () => void, loadMore: () => void, reload: () => void}} InstanceList */

const LONGEST_PAGE = 500;
const APART = 1000; // ms between two reads that nobody asked for

/** Newest first, without doubles. @param {Iterable<Summary>} rows */
const ordered = (rows) => [...rows].sort((a, b) => b.number - a.number);

/** The instances that match `text`, a query of the API, newest first. While `holds()` is true what is new waits, and
 * what does not match any longer stays, so that nothing moves under the reader's eyes.
 * @param {string} text @param {number} limit @param {() => boolean} [holds] @returns {InstanceList} */
export function useInstances(text, limit, holds = () => false) {
    const filters = useMemo(() => readFilters(new URLSearchParams(text)), [text]);
    /** @typedef {{text: string, rows: Map<string, Summary>, waiting: Map<string, Summary>, cursor: string | null}} State */
    const state = useRef(/** @type {State | null} */ (null));
    const [, draw] = useState({});
    const [error, setError] = useState(/** @type {unknown} */ (null));
    const [busy, setBusy] = useState(false);
    const asked = useRef(/** @type {AbortController | null} */ (null));
    /** When what is shown was asked for; 0 if there was no answer. */
    const last = useRef(0);
    const holding = useRef(holds);
    holding.current = holds;

    const read = useCallback(
        async (/** @type {string | null} */ cursor) => {
            asked.current?.abort();
            const own = (asked.current = new AbortController());
            setBusy(true);
            if (!cursor) last.current = Date.now();
            try {
                const before = state.current;
                // What has been read in several pages is read again in one.
                const size = cursor || before?.text !== text ? limit : Math.min(LONGEST_PAGE, Math.max(limit, before.rows.size));
                const query = new URLSearchParams(text);
                query.set('limit', String(size));
                if (cursor) query.set('cursor', cursor);
                const page = (await get(`/v1/instances?${query}`, { signal: own.signal })).json;
                const rows = new Map(cursor ? state.current?.rows : []);
                for (const one of page.instances) rows.set(one.id, one);
                state.current = { text, rows, waiting: cursor ? (state.current?.waiting ?? new Map()) : new Map(), cursor: page.next_cursor };
                setError(null);
            } catch (error) {
                if (isAbort(error)) return;
                last.current = 0;
                // Where there is something to show, the banner tells that it is old.
                if (!(error instanceof Away && state.current?.text === text)) setError(error);
            }
            setBusy(false);
            draw({});
        },
        [text, limit],
    );

    useEffect(() => {
        void read(null);
        /** @type {number | undefined} */
        let timer;
        const again = () => {
            timer ??= setTimeout(() => {
                timer = undefined;
                void read(null);
            }, Math.max(0, last.current + APART - Date.now()));
        };
        const leave = subscribe((news) => {
            const now = state.current;
            if (news.resync) return last.current > news.at ? undefined : again();
            if (!now || now.text !== text) return news.changed.size ? again() : undefined;
            const held = holding.current();
            const oldest = Math.min(...[...now.rows.values()].map((one) => one.number));
            let changed = false;
            for (const one of news.changed.values()) {
                const fits = matches(filters, one);
                const old = now.rows.get(one.id);
                if (old && old.version > one.version) continue;
                if (old && (fits || held)) now.rows.set(one.id, one);
                else if (old) now.rows.delete(one.id);
                else if (fits && (now.cursor === null || one.number > oldest)) (held ? now.waiting : now.rows).set(one.id, one);
                else if (!now.waiting.delete(one.id)) continue;
                changed = true;
            }
            if (!changed) return;
            if (now.cursor && (now.rows.size < limit || (!held && now.rows.size > LONGEST_PAGE))) again();
            draw({});
        });
        return () => {
            leave();
            clearTimeout(timer);
            asked.current?.abort();
        };
    }, [read]);

    const now = state.current?.text === text ? state.current : null;
    return {
        rows: now && ordered(now.rows.values()),
        waiting: now?.waiting.size ?? 0,
        more: Boolean(now?.cursor),
        busy,
        error,
        showWaiting() {
            if (!now) return;
            for (const [id, one] of now.waiting) now.rows.set(id, one);
            for (const [id, one] of now.rows) if (!matches(filters, one)) now.rows.delete(id);
            now.waiting = new Map();
            draw({});
        },
        loadMore: () => now?.cursor && void read(now.cursor),
        reload: () => void read(null),
    };
}
