// The heading of a page: it names the document too, and takes the focus when the reader has come from another page.
import { html, useEffect, useRef } from '../core/html.js';
import { visits } from '../core/router.js';

/** @param {{title: string, children?: any}} props `title` names the document; `children` are shown in its place */
export function Heading({ title, children }) {
    const box = useRef(/** @type {HTMLElement | null} */ (null));
    useEffect(() => {
        document.title = title === 'Taskwright' ? title : `${title} · Taskwright`;
    }, [title]);
    useEffect(() => {
        if (visits > 1) box.current?.focus({ preventScroll: true });
    }, []);
    return html`<h1 ref=${box} tabindex="-1">${children ?? title}</h1>`;
}
