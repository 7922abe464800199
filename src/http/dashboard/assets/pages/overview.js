// How things are: what runs, what failed, what happened in the last hour.
import { html } from '../core/html.js';
import { url } from '../core/base.js';
import { useInstances } from '../core/instances.js';
import { useKeys } from '../core/keys.js';
import { can } from '../core/me.js';
import { useResource } from '../core/resource.js';
import { navigate } from '../core/router.js';
import { Ago, duration } from '../core/time.js';
import { Bars } from '../parts/bars.js';
import { cliLine, curlLine, Line, useCopyAs } from '../parts/copy_as.js';
import { Heading } from '../parts/heading.js';
import { Icon } from '../parts/icon.js';
import { InstanceTable } from '../parts/instance_table.js';
import { ProblemNote } from '../parts/problem.js';
import { STATUSES, StatusWord } from '../parts/status.js';

const any = (/** @type {import('../core/live.js').News} */ news) => news.changed.size > 0;

/** @param {{name: string, of: Slots}} props */
const SlotMeter = ({ name, of }) =>
    html`<div class="slots"><span>${name}</span><meter min="0" max=${of.total} value=${of.used} aria-label=${`${name}: slots used`}></meter><span class="num">${of.used} / ${of.total}</span></div>`;

function QuickStart() {
    /** @type {string[]} */
    const tasks = (useResource('/v1/definitions').answer?.json.definitions ?? []).map((/** @type {Definition} */ one) => one.id);
    const task = tasks.includes('sleep') ? 'sleep' : tasks[0];
    if (!task) return html`<section class="card quick"><h2>No task is defined yet</h2><p>Add a <code>[[tasks]]</code> block to the configuration, or compile a handler in.</p></section>`;
    const body = task === 'sleep' ? '{"seconds":3}' : '{}';
    const path = `/v1/definitions/${encodeURIComponent(task)}/instances?wait=10`;
    return html`<section class="card quick">
        <h2>Nothing has run here yet</h2>
        <p>Start a task from a terminal, or here; it appears on this page as it happens.</p>
        <${Line} text=${curlLine({ path, method: 'POST', body })} label="the curl line" />
        <${Line} text=${cliLine(['run', task, ...(task === 'sleep' ? ['seconds=3'] : [])])} label="the taskwright line" />
        <p class="actions">
            ${can('run') && html`<a class="button primary" href=${url(`/tasks/${encodeURIComponent(task)}/start`)}><${Icon} name="play" />Start ${task}</a>`}
            <a class="button" href=${url('/tasks')}>All tasks</a>
        </p>
    </section>`;
}

function Failures() {
    const { rows } = useInstances('status=failed', 6);
    if (!rows) return null;
    return html`<section class="card">
        <h2>Last failures <a href=${url('/instances?status=failed')}>all</a></h2>
        ${rows.length === 0 && html`<p class="faint">None.</p>`}
        <ul class="failures">
            ${rows.slice(0, 6).map((one) => html`<li key=${one.id}>
                <span><a href=${url(`/instances/${one.number}`)}><span class="num">${one.number}</span> ${one.task_id}</a> <small><${Ago} at=${one.finished_at ?? one.updated_at} /></small></span>
                <code>${one.error?.message.split('\n')[0]}</code>
            </li>`)}
        </ul>
    </section>`;
}

export default function Overview() {
    const stats = useResource('/v1/stats?window=1h&bucket=1m', any);
    const system = useResource('/v1/system', any);
    const running = useInstances('status=running', 10);
    useCopyAs({ path: '/v1/stats?window=1h&bucket=1m', cli: ['ps'] });
    useKeys([{ keys: 'n', does: 'Start a task', run: () => navigate('/tasks') }]);
    /** @type {Stats | undefined} */
    const now = stats.answer?.json;
    /** @type {SystemInfo | undefined} */
    const info = system.answer?.json;
    const empty = now && STATUSES.every((status) => now.by_status[status] === 0);
    const rows = running.rows ?? [];
    return html`<header class="pagehead">
            <${Heading} title="Overview" />
            ${can('run') && html`<a class="button primary" href=${url('/tasks')}><${Icon} name="play" />Start a task</a>`}
        </header>
        <${ProblemNote} error=${stats.error} retry=${stats.reload} />
        <ul class="tiles">
            ${STATUSES.map((status) => html`<li key=${status}><a class=${`tile ${status}`} href=${url(`/instances?status=${status}`)}>
                <b class="num">${now ? now.by_status[status].toLocaleString() : '–'}</b><${StatusWord} name=${status} />
            </a></li>`)}
        </ul>
        ${empty
            ? html`<${QuickStart} />`
            : html`<div class="columns">
                  <section class="card">
                      <h2>Last hour <small>${now && now.durations.p50 !== null && `p50 ${duration(now.durations.p50)} · p95 ${duration(now.durations.p95 ?? 0)}`}</small></h2>
                      ${now && html`<${Bars} buckets=${now.buckets} label="Ended in the last hour" />`}
                  </section>
                  <section class="card">
                      <h2>Slots</h2>
                      ${info && html`<${SlotMeter} name="Handlers" of=${info.slots.local} /><${SlotMeter} name="Commands" of=${info.slots.command} />`}
                      <p class="faint">${now && (now.by_status.pending ? html`<a href=${url('/instances?status=pending')}>${now.by_status.pending.toLocaleString()} waiting</a>` : 'Nothing waits.')}</p>
                  </section>
              </div>
              <section class="card flush">
                  <h2>Running now ${running.more && html`<a href=${url('/instances?status=running')}>all</a>`}</h2>
                  <${ProblemNote} error=${running.error} retry=${running.reload} />
                  ${running.rows && rows.length === 0 && html`<p class="faint">Nothing runs.</p>`}
                  ${rows.length > 0 && html`<${InstanceTable} rows=${rows.slice(0, 10)} caption="Running now" />`}
              </section>
              <${Failures} />`}`;
}
