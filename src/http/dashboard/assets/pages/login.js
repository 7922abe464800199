// A token, exchanged for a cookie that scripts cannot read.
import { html, useEffect, useRef, useState } from '../core/html.js';
import { url } from '../core/base.js';
import { send } from '../core/api.js';
import { Heading } from '../parts/heading.js';
import { ProblemNote } from '../parts/problem.js';

/** Only an address of ours: the parameter comes from the address, which anybody may have written. It is read as the
 * browser reads it, which leaves out tabs and takes backslashes for slashes. @param {string | null} next */
function safe(next) {
    let path = '/';
    try {
        const to = new URL(next ?? '/', location.origin);
        if (to.origin === location.origin && !to.pathname.startsWith('/login')) path = to.pathname + to.search + to.hash;
    } catch {
        // No address at all.
    }
    // The origin in front: a path may begin with two slashes.
    return location.origin + url(path);
}

/** @param {PageProps} props */
export default function Login({ query }) {
    const box = useRef(/** @type {HTMLInputElement | null} */ (null));
    const [error, setError] = useState(/** @type {unknown} */ (null));
    const [busy, setBusy] = useState(false);
    useEffect(() => box.current?.focus(), []);
    const submit = async (/** @type {Event} */ event) => {
        event.preventDefault();
        setBusy(true);
        try {
            await send('POST', '/login', JSON.stringify({ token: box.current?.value.trim() }));
            location.assign(safe(query.get('next')));
        } catch (error) {
            setError(error);
            setBusy(false);
            box.current?.focus();
        }
    };
    return html`<form class="card login" onSubmit=${submit}>
        <${Heading} title="Log in" />
        <label for="token">Token</label>
        <input id="token" ref=${box} type="password" autocomplete="current-password" required spellcheck=${false} placeholder="tw_…" />
        <${ProblemNote} error=${error} />
        <button class="primary" disabled=${busy}>Log in</button>
        <p class="faint">An operator makes one with <code>taskwright token create NAME --scopes read,run</code>.</p>
    </form>`;
}
