// One task: how it has gone, what it takes, how to start it.
import { html } from '../core/html.js';
import { url } from '../core/base.js';
import { useInstances } from '../core/instances.js';
import { useKeys } from '../core/keys.js';
import { can } from '../core/me.js';
import { startWords } from '../core/program_words.js';
import { member } from '../core/raw_json.js';
import { useResource } from '../core/resource.js';
import { navigate } from '../core/router.js';
import { duration } from '../core/time.js';
import { Bars } from '../parts/bars.js';
import { cliLine, curlLine, Line, quote, useCopyAs } from '../parts/copy_as.js';
import { Heading } from '../parts/heading.js';
import { Icon } from '../parts/icon.js';
import { InstanceTable } from '../parts/instance_table.js';
import { ProblemNote } from '../parts/problem.js';
import { RunStrip } from '../parts/run_strip.js';
import { exampleOf, SchemaTable } from '../parts/schema_table.js';
import { failureRate } from './tasks.js';

/** @param {{task: Definition}} props */
function Limits({ task }) {
    /** @type {[string, any][]} */
    const facts = [
        ['Runs', task.workload === 'local' ? 'in the daemon' : 'as a command'],
        ['From', { compiled: 'the program', configured: 'the configuration', registered: 'the API' }[task.source]],
        ['Timeout', task.timeout === null ? 'none' : duration(task.timeout)],
        ['Queue timeout', task.queue_timeout === null ? 'none' : duration(task.queue_timeout)],
        ['Attempts', `${task.max_attempts}${task.max_attempts > 1 ? `, ${duration(task.retry_delay)} apart` : ''}`],
        ['At once', task.concurrency ?? 'as many as there are slots'],
        ...(task.command ? [/** @type {[string, any]} */ (['Command', html`<code>${task.command.map(quote).join(' ')}</code>`])] : []),
    ];
    return html`<section class="card"><h2>Limits</h2><dl class="facts">${facts.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl></section>`;
}

/** @param {{task: Definition, schema: string | null}} props */
function Snippets({ task, schema }) {
    const body = exampleOf(schema ?? '');
    const path = `/v1/definitions/${encodeURIComponent(task.id)}/instances`;
    return html`<section class="card"><h2>Start it from elsewhere</h2>
        <h3>Start, and wait up to a minute for the end</h3>
        <${Line} text=${curlLine({ path: `${path}?wait=60`, method: 'POST', body })} label="the curl line that waits" />
        <h3>Start, and keep the id</h3>
        <${Line} text=${`id=$(${curlLine({ path, method: 'POST', body, accept: 'text/plain' })})`} label="the curl line for the id" />
        <h3>Start and follow in a terminal</h3>
        <${Line} text=${cliLine(['run', task.id, ...startWords(body, schema)])} label="the taskwright line" />
    </section>`;
}

/** @param {{task: Definition}} props */
function Runs({ task }) {
    const id = encodeURIComponent(task.id);
    const { rows, error, reload } = useInstances(`task_id=${id}`, 20);
    /** @type {Stats | undefined} */
    const stats = useResource(`/v1/stats?task_id=${id}&window=24h&bucket=30m`, (news) => [...news.changed.values()].some((one) => one.task_id === task.id)).answer?.json;
    const figure = (/** @type {number | null | undefined} */ seconds) => (seconds == null ? '–' : duration(seconds));
    return html`<div class="columns">
            <section class="card"><h2>Last 24 hours</h2>
                ${stats && html`<${Bars} buckets=${stats.buckets} label="Ended in the last 24 hours" />`}
            </section>
            <section class="card"><h2>Last 20 runs</h2>
                ${rows && html`<${RunStrip} runs=${rows} />`}
                <dl class="figures">
                    <div><dt>p50</dt><dd class="num">${figure(stats?.durations.p50)}</dd></div>
                    <div><dt>p95</dt><dd class="num">${figure(stats?.durations.p95)}</dd></div>
                    <div><dt>Failed</dt><dd class="num">${stats ? failureRate(stats) : '–'}</dd></div>
                </dl>
            </section>
        </div>
        <section class="card flush"><h2>Instances <a href=${url(`/instances?task_id=${id}`)}>all</a></h2>
            <${ProblemNote} error=${error} retry=${reload} />
            ${rows?.length === 0 && html`<p class="faint">It has not run yet.</p>`}
            ${rows && rows.length > 0 && html`<${InstanceTable} rows=${rows.slice(0, 10)} caption="Latest instances" task=${false} />`}
        </section>`;
}

/** @param {PageProps} props */
export default function Task({ params }) {
    const id = encodeURIComponent(params.id);
    const { answer, error, reload } = useResource(`/v1/definitions/${id}`);
    /** @type {Definition | undefined} */
    const task = answer?.json;
    const schema = (/** @type {string} */ name) => answer && member(answer.text, name);
    const start = `/tasks/${id}/start`;
    useCopyAs({ path: `/v1/definitions/${id}`, cli: ['tasks', params.id] });
    useKeys([{ keys: 'n', does: 'Start this task', run: () => can('run') && navigate(start) }], [start]);
    return html`<header class="pagehead">
            <div><p class="trail"><a href=${url('/tasks')}>Tasks</a></p><${Heading} title=${task?.id ?? params.id} /></div>
            ${task && can('run') && html`<a class="button primary" href=${url(start)}><${Icon} name="play" />Start</a>`}
        </header>
        <${ProblemNote} error=${error} retry=${reload} />
        ${task &&
        html`${task.description && html`<p class="lead">${task.description}</p>`}
            <${Runs} task=${task} />
            <section class="card flush"><h2>Inputs</h2><${SchemaTable} schema=${schema('input_schema')} caption="Inputs" /></section>
            <div class="columns"><${Snippets} task=${task} schema=${schema('input_schema')} /><${Limits} task=${task} /></div>
            ${task.output_schema?.properties && html`<section class="card flush"><h2>Output</h2><${SchemaTable} schema=${schema('output_schema')} caption="Output" /></section>`}`}`;
}
