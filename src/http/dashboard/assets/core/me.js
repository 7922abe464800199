// Which daemon this is, and what we may do there.
import { signal } from './html.js';
import { get } from './api.js';

/** Null until it is known. @type {Signal<SystemInfo | null>} */
export const system = signal(/** @type {SystemInfo | null} */ (null));

/** Asks again. */
export async function loadSystem() {
    system.value = (await get('/v1/system')).json;
}

/** Whether our token has the scope; false until that is known. @param {Scope} scope */
export const can = (scope) => system.value?.you.scopes.includes(scope) ?? false;
