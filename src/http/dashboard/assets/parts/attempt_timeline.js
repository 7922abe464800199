// The attempts of an instance on one axis of time, from its start to its end, or to now.
import { html } from '../core/html.js';
import { absolute, duration, now, secondsBetween } from '../core/time.js';
import { Icon } from './icon.js';
import { StatusWord } from './status.js';

const MOST = 20; // attempts: older ones are counted only
const WIDTH = 1000;

/** @param {{of: Instance, attempts: Attempt[]}} props */
export function AttemptTimeline({ of, attempts }) {
    const shown = attempts.slice(-MOST);
    const first = shown.length < attempts.length ? shown[0].started_at : of.created_at;
    const from = Date.parse(first);
    const until = of.finished_at ? Date.parse(of.finished_at) : now.value;
    const scale = WIDTH / Math.max(1, until - from);
    /** @param {string | null} time */
    const x = time => Math.min(WIDTH, Math.max(0, ((time ? Date.parse(time) : until) - from) * scale));
    return html`<section class="card attempts" aria-label="Attempts">
        <h2>Attempts ${attempts.length > shown.length && html`<small>the last ${MOST} of ${attempts.length}</small>`}</h2>
        <ol>${shown.map((one, at) => {
            const start = x(one.started_at);
            const waited = at ? x(shown[at - 1].finished_at) : 0;
            const seconds = secondsBetween(one.started_at, one.finished_at);
            return html`<li key=${one.attempt}>
                <span class="num attempt">${one.attempt}</span>
                <${Ended} of=${one} />
                <svg viewBox=${`0 0 ${WIDTH} 10`} preserveAspectRatio="none" aria-hidden="true">
                    <rect class="ground" width=${WIDTH} height="10" />
                    <rect class="waited" x=${waited} width=${Math.max(0, start - waited)} y="4" height="2" />
                    <rect class=${one.ended ?? 'running'} x=${Math.min(start, WIDTH - 3)} width=${Math.max(3, x(one.finished_at) - start)} height="10" />
                </svg>
                <span class="num took" title=${`from ${absolute(one.started_at)}${one.finished_at ? ` to ${absolute(one.finished_at)}` : ''}${one.node ? ` on ${one.node}` : ''}`}>${duration(one.finished_at ? seconds : Math.max(0, Math.floor(seconds)))}</span>
                ${one.error && html`<span class="why">${one.error.message}</span>`}
            </li>`;
        })}</ol>
    </section>`;
}

/** @param {{of: Attempt}} props */
function Ended({ of }) {
    if (of.ended === 'interrupted') return html`<span class="status failed"><${Icon} name="warning" /><span class="word">interrupted</span></span>`;
    return html`<${StatusWord} name=${of.ended ?? 'running'} />`;
}
