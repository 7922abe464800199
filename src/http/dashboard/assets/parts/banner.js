// Says that the page is not live, and how old it is.
import { html } from '../core/html.js';
import { connection, heard } from '../core/api.js';
import { tryNow } from '../core/live.js';
import { duration, now } from '../core/time.js';
import { Icon } from './icon.js';

/** Whether what is shown may have changed since. */
export const isStale = () => connection.value === 'away';

/** The seconds since the last news, by themselves: they tick, the rest of the banner must not be read out again. */
const Since = () => html`<span class="num" aria-live="off">${duration(Math.max(0, Math.round((now.value - heard.value) / 1000)))}</span>`;

export function Banner() {
    return html`<div role="status">
        ${isStale() &&
        html`<div class="banner">
            <${Icon} name="warning" />
            <span>The daemon does not answer. Last news <${Since} /> ago. Trying again…</span>
            <button type="button" onClick=${tryNow}>Try now</button>
        </div>`}
    </div>`;
}

const WORDS = { joining: 'Connecting', live: 'Live', polling: 'Every few seconds', away: 'Away' };

/** The state of the connection in the header. */
export const ConnectionState = () =>
    html`<span class=${`connection ${connection.value}`} title=${connection.value === 'polling' ? 'The daemon has no stream left for this tab' : ''}>
        <span class="dot"></span><span class="wideonly">${WORDS[connection.value]}</span>
    </span>`;
