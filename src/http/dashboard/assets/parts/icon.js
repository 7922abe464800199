// Small line drawings, 16 by 16. They never stand alone: a word is beside them, or the button has a label.
import { html } from '../core/html.js';

const PATHS = {
    pending: 'M8 2.5a5.5 5.5 0 1 1 0 11 5.5 5.5 0 0 1 0-11M8 5v3l2 1.5',
    running: 'M8 2.5A5.5 5.5 0 1 1 2.5 8',
    completed: 'M8 2.5a5.5 5.5 0 1 1 0 11 5.5 5.5 0 0 1 0-11M5.5 8.2l1.8 1.8 3.2-3.6',
    failed: 'M8 2.5a5.5 5.5 0 1 1 0 11 5.5 5.5 0 0 1 0-11M6 6l4 4M10 6l-4 4',
    cancelled: 'M8 2.5a5.5 5.5 0 1 1 0 11 5.5 5.5 0 0 1 0-11M4.3 4.3l7.4 7.4',
    stop: 'M4.5 4.5h7v7h-7z',
    retry: 'M12.5 4v3h-3M12.3 7A4.8 4.8 0 1 0 12.5 10',
    play: 'M5 3.5v9l7-4.5z',
    copy: 'M6 5.5h6.5v8H6zM9.5 5V2.5H3.5v8H6',
    check: 'M3.5 8.5l3 3 6-7',
    close: 'M4 4l8 8M12 4l-8 8',
    up: 'M8 13V3.5M4 7.5l4-4 4 4',
    download: 'M8 2.5v7.5M4.5 7L8 10.5 11.5 7M3 13.5h10',
    search: 'M7 2.5a4.5 4.5 0 1 1 0 9 4.5 4.5 0 0 1 0-9M10.5 10.5l3 3',
    warning: 'M8 2.5l6 11H2zM8 6.5v3.2M8 11.4v.4',
    terminal: 'M2.5 3.5h11v9h-11zM5 6.5L7 8 5 9.5M8.5 10h2.5',
    more: 'M6 3.5L10.5 8 6 12.5',
};

/** @typedef {keyof typeof PATHS} IconName */

/** @param {{name: IconName}} props */
export const Icon = ({ name }) =>
    html`<svg class="icon" viewBox="0 0 16 16" width="16" height="16" aria-hidden="true"><path d=${PATHS[name]} /></svg>`;
