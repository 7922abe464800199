// Components whose scripts are fetched when they are first shown.
import { html, signal } from './html.js';

/** Nobody sees all pages. @param {() => Promise<{default: any}>} load */
export function later(load) {
    const loaded = signal(/** @type {any} */ (null));
    return (/** @type {any} */ props) => {
        if (loaded.value) return html`<${loaded.value} ...${props} />`;
        void load().then((module) => (loaded.value = module.default));
        return null;
    };
}
