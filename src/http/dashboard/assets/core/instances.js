// A list of instances that stays true: read by pages, changed by the news.
import { useCallback, useEffect, useMemo, useRef, useState } from './html.js';
import { Away, get, isAbort } from './api.js';
import { matches, readFilters } from './filters.js';
import { subscribe } from './live.js';

/** @typedef {{rows: Summary[] | null, waiting: number, more: boolean, busy: boolean, error: unknown,
 *  showWaiting: () => void, loadMore: () => void, reload: () => void}} InstanceList */

export const LONGEST_PAGE = 500;
const APART = 1000; // ms between two reads that nobody asked for

/** `most` rows are shown; with `cut` there are older ones that were shown before, so that `cursor` is not where they end.
 * @typedef {{text: string, rows: Map<string, Summary>, waiting: Set<string>, cursor: string | null, most: number, cut: boolean}} State */

/** The list that was left last: who comes back sees it at once, where it was, until it has been read anew.
 * @type {State | null} */
let kept = null;

/** Newest first, without doubles. @param {Iterable<Summary>} rows */
const ordered = (rows) => [...rows].sort((a, b) => b.number - a.number);

/** The instances that match `text`, a query of the API, newest first. While `holds()` is true what is new waits, and
 * what does not match any longer stays, so that nothing moves under the reader's eyes.
 * @param {string} text @param {number} limit @param {() => boolean} [holds] @returns {InstanceList} */
export function useInstances(text, limit, holds = () => false) {
    const filters = useMemo(() => readFilters(new URLSearchParams(text)), [text]);
    const state = useRef(kept?.text === text && kept.most >= limit ? kept : null);
    const [, draw] = useState({});
    const [error, setError] = useState(/** @type {unknown} */ (null));
    const [busy, setBusy] = useState(false);
    const asked = useRef(/** @type {AbortController | null} */ (null));
    /** When what is shown was asked for; 0 if there was no answer. */
    const last = useRef(0);
    const holding = useRef(holds);
    holding.current = holds;

    /** What changed while an answer was on its way, which may be older than that. @type {{current: Map<string, Summary> | null}} */
    const meanwhile = useRef(/** @type {Map<string, Summary> | null} */ (null));

    /** Takes changes over; whether something is shown otherwise then. @param {State} now @param {Map<string, Summary>} changes @param {boolean} held */
    const apply = (now, changes, held) => {
        const whole = now.cursor === null && !now.cut;
        const oldest = Math.min(...[...now.rows.values()].map((one) => one.number));
        let changed = false;
        for (const one of changes.values()) {
            const fits = matches(filters, one);
            const old = now.rows.get(one.id);
            if (old && old.version >= one.version) continue;
            if (old && (fits || held)) now.rows.set(one.id, one);
            else if (old) now.rows.delete(one.id);
            else if (fits && held && (whole || one.number > oldest)) now.waiting.add(one.id);
            else if (fits && (whole || one.number > oldest)) now.rows.set(one.id, one);
            else if (!now.waiting.delete(one.id)) continue;
            changed = true;
        }
        if (!held && now.rows.size > now.most) {
            now.rows = new Map(ordered(now.rows.values()).slice(0, now.most).map((row) => [row.id, row]));
            now.cut = true;
        }
        return changed;
    };

    const read = useCallback(
        async (/** @type {string | null} */ cursor, /** @type {number | undefined} */ size = undefined) => {
            asked.current?.abort();
            const own = (asked.current = new AbortController());
            setBusy(true);
            if (!cursor) last.current = Date.now();
            meanwhile.current = new Map();
            try {
                const before = state.current;
                // What has been read in several pages is read again in one.
                const wanted = size ?? (cursor || before?.text !== text ? limit : before.most);
                const query = new URLSearchParams(text);
                query.set('limit', String(Math.min(wanted, LONGEST_PAGE)));
                if (cursor) query.set('cursor', cursor);
                const page = (await get(`/v1/instances?${query}`, { signal: own.signal })).json;
                // Nobody asked for this reading: what is new in it waits too.
                const known = state.current?.text === text ? state.current : null;
                const held = !cursor && size === undefined && known !== null && known.rows.size > 0 && holding.current();
                const newest = held ? Math.max(...[...known.rows.values()].map((one) => one.number)) : Infinity;
                const rows = new Map(cursor || held ? known?.rows : []);
                /** @type {Set<string>} */
                const waiting = (cursor && known?.waiting) || new Set();
                for (const one of page.instances) {
                    if (one.number > newest) waiting.add(one.id);
                    else rows.set(one.id, one);
                }
                state.current = { text, rows, waiting, cursor: page.next_cursor, most: Math.max(limit, rows.size), cut: false };
                apply(state.current, meanwhile.current, holding.current());
                meanwhile.current = null;
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
            if (news.resync && last.current <= news.at) return again();
            if (!now || now.text !== text) return news.changed.size ? again() : undefined;
            for (const one of news.changed.values()) meanwhile.current?.set(one.id, one);
            if (!apply(now, news.changed, holding.current())) return;
            if ((now.cursor || now.cut) && now.rows.size < limit) again();
            draw({});
        });
        return () => {
            leave();
            clearTimeout(timer);
            asked.current?.abort();
            kept = state.current;
        };
    }, [read]);

    const now = state.current?.text === text ? state.current : null;
    return {
        rows: now && ordered(now.rows.values()),
        waiting: now?.waiting.size ?? 0,
        more: Boolean(now?.cursor || now?.cut),
        busy,
        error,
        showWaiting: () => void read(null, limit),
        loadMore: () => now && void (now.cut ? read(null, now.most + limit) : read(now.cursor)),
        reload: () => void read(null),
    };
}
