// A page's data: what one GET answers, read again when it may have changed.
import { useCallback, useEffect, useRef, useState } from './html.js';
import { Away, get, isAbort } from './api.js';
import { subscribe } from './live.js';

/** @typedef {{answer: import('./api.js').Answer | null, error: Error | null, reload: () => void}} Resource */

const APART = 1000; // ms between two reads that nobody asked for

/** Reads `path` while the component is shown, anew when it changes. The old answer stays until the new one is there.
 * `wants` says of each piece of news whether to read again; after a lost place in the stream it is always read.
 * @param {string | null} path @param {(news: import('./live.js').News) => boolean} [wants] @returns {Resource} */
export function useResource(path, wants) {
    const [state, setState] = useState(/** @type {{path: string | null, answer: any, error: any}} */ ({ path: null, answer: null, error: null }));
    const asked = useRef(/** @type {AbortController | null} */ (null));
    /** When what is shown was asked for; 0 if there was no answer. */
    const last = useRef(0);

    const load = useCallback(async () => {
        if (path === null) return;
        asked.current?.abort();
        const own = (asked.current = new AbortController());
        last.current = Date.now();
        try {
            const answer = await get(path, { signal: own.signal });
            setState({ path, answer, error: null });
        } catch (error) {
            if (isAbort(error)) return;
            last.current = 0;
            setState((before) => {
                const answer = before.path === path ? before.answer : null;
                // Where there is something to show, the banner tells that it is old.
                return { path, answer, error: answer && error instanceof Away ? null : error };
            });
        }
    }, [path]);

    const wanted = useRef(wants);
    wanted.current = wants;
    useEffect(() => {
        void load();
        /** @type {number | undefined} */
        let timer;
        const leave = subscribe((news) => {
            const missed = news.resync && last.current <= news.at;
            if (!missed && !wanted.current?.(news)) return;
            timer ??= setTimeout(() => {
                timer = undefined;
                void load();
            }, Math.max(0, last.current + APART - Date.now()));
        });
        return () => {
            leave();
            clearTimeout(timer);
            asked.current?.abort();
        };
    }, [load]);

    return { answer: state.answer, error: state.path === path ? state.error : null, reload: load };
}
