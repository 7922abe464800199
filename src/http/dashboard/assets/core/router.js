// Which page the address means. Links within the dashboard change it without loading the document again.
import { signal } from './html.js';
import { ownPath, url } from './base.js';

/** A page: its pattern, such as `/instances/:id`, and the component that is given `params` and `query`.
 * @typedef {{pattern: string, page: any}} Route */

/** @typedef {{path: string, params: Record<string, string>, query: URLSearchParams, page: any}} Place */

/** @type {Route[]} */
let routes = [];

/** Where we are. @type {Signal<Place>} */
export const route = signal({ path: '', params: {}, query: new URLSearchParams(), page: null });

/** How often the reader went to another page; 0 on the one that was opened first. */
export let visits = 0;

/** @param {string} path @returns {{page: any, params: Record<string, string>} | null} */
function match(path) {
    const parts = path.split('/');
    for (const { pattern, page } of routes) {
        const wanted = pattern.split('/');
        if (wanted.length !== parts.length) continue;
        /** @type {Record<string, string>} */
        const params = {};
        const fits = wanted.every((part, at) => {
            if (!part.startsWith(':')) return part === parts[at];
            try {
                params[part.slice(1)] = decodeURIComponent(parts[at]);
            } catch {
                return false;
            }
            return parts[at] !== '';
        });
        if (fits) return { page, params };
    }
    return null;
}

function read() {
    const path = ownPath(location.pathname) ?? '/';
    const found = match(path);
    if (path !== route.peek().path) visits += 1;
    route.value = { path, query: new URLSearchParams(location.search), page: found?.page ?? null, params: found?.params ?? {} };
}

/** Goes to a path of ours, which may carry a query and a fragment. @param {string} path @param {{replace?: boolean}} [how] */
export function navigate(path, { replace = false } = {}) {
    const before = location.pathname;
    if (!replace) history.replaceState({ y: scrollY }, '');
    history[replace ? 'replaceState' : 'pushState'](null, '', url(path));
    read();
    if (location.pathname !== before) scrollTo(0, 0);
}

/** Replaces the query of this page. A change that the reader would want to take back makes an entry in the history.
 * @param {URLSearchParams} query @param {{replace?: boolean}} [how] */
export function setQuery(query, how) {
    const text = query.toString().replaceAll('%3A', ':').replaceAll('%2C', ',').replaceAll('%2F', '/');
    navigate(route.peek().path + (text && `?${text}`), how);
}

/** Begins to follow the address. @param {Route[]} table */
export function startRouter(table) {
    routes = table;
    addEventListener('popstate', () => {
        const y = history.state?.y ?? 0;
        read();
        // Once the page that is come back to has been drawn.
        requestAnimationFrame(() => requestAnimationFrame(() => scrollTo(0, y)));
    });
    document.addEventListener('click', (event) => {
        if (event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
        const link = event.target instanceof Element ? event.target.closest('a') : null;
        if (!link || link.target || link.hasAttribute('download') || link.origin !== location.origin) return;
        const path = ownPath(link.pathname);
        if (path === null || !match(path)) return;
        if (link.hash && link.pathname === location.pathname && link.search === location.search) return;
        event.preventDefault();
        navigate(path + link.search + link.hash);
    });
    read();
}
