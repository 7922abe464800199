// Components whose scripts are fetched when they are first shown.
import { html, signal, useEffect } from './html.js';
import { connection } from './api.js';

/** Nobody sees all pages. @param {() => Promise<{default: any}>} load */
export function later(load) {
    const loaded = signal(/** @type {any} */ (null));
    let away = false;
    /** In its place when it could not be fetched. A document remembers such a failure, so a new one asks again. */
    const Missed = () => {
        const state = connection.value;
        away ||= state === 'away';
        useEffect(() => {
            if (away && state !== 'away') location.reload();
        }, [state]);
        return html`<div class="problem" role="alert"><p>This could not be fetched.</p><button type="button" onClick=${() => location.reload()}>Try again</button></div>`;
    };
    return (/** @type {any} */ props) => {
        if (loaded.value) return html`<${loaded.value} ...${props} />`;
        load().then((module) => (loaded.value = module.default), () => (loaded.value = Missed));
        return null;
    };
}
