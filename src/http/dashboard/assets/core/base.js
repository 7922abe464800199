// The prefix under which a proxy may serve us.
export const base = document.documentElement.dataset.base ?? '';

/** The URL of a path of ours. @param {string} path */
export const url = (path) => base + path;

/** Our path of a URL's path, or null if it is not under the prefix. @param {string} pathname */
export const ownPath = (pathname) =>
    pathname === base ? '/' : pathname.startsWith(`${base}/`) ? pathname.slice(base.length) : null;
