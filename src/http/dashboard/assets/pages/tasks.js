// The tasks that can be started, and how their last runs went.
import { html, useEffect, useRef, useState } from '../core/html.js';
import { url } from '../core/base.js';
import { useInstances } from '../core/instances.js';
import { can } from '../core/me.js';
import { useResource } from '../core/resource.js';
import { duration } from '../core/time.js';
import { useCopyAs } from '../parts/copy_as.js';
import { Heading } from '../parts/heading.js';
import { Icon } from '../parts/icon.js';
import { ProblemNote } from '../parts/problem.js';
import { RunStrip } from '../parts/run_strip.js';

/** The share of runs that failed, of those that completed or failed. @param {Stats} stats */
export function failureRate(stats) {
    const failed = stats.buckets.reduce((sum, one) => sum + one.failed, 0);
    const ended = stats.buckets.reduce((sum, one) => sum + one.completed, failed);
    return ended ? `${((failed / ended) * 100).toFixed(failed && failed / ended < 0.1 ? 1 : 0)} %` : '–';
}

/** What takes two requests is asked only of rows that are seen. @param {{task: Definition}} props */
function Figures({ task }) {
    const id = encodeURIComponent(task.id);
    const { rows } = useInstances(`task_id=${id}`, 20);
    const stats = useResource(`/v1/stats?task_id=${id}&window=24h&bucket=1h`, (news) => [...news.changed.values()].some((one) => one.task_id === task.id && one.finished_at)).answer?.json;
    return html`<td class="runs" data-label="Last 20 runs">${rows && html`<${RunStrip} runs=${rows} />`}</td>
        <td class="num" data-label="p50">${stats?.durations.p50 == null ? '–' : duration(stats.durations.p50)}</td>
        <td class="num" data-label="p95">${stats?.durations.p95 == null ? '–' : duration(stats.durations.p95)}</td>
        <td class="num" data-label="Failed">${stats ? failureRate(stats) : '–'}</td>`;
}

/** @param {{task: Definition}} props */
function Row({ task }) {
    const box = useRef(/** @type {HTMLElement | null} */ (null));
    const [seen, setSeen] = useState(false);
    useEffect(() => {
        const watch = new IntersectionObserver((entries) => {
            if (entries.some((one) => one.isIntersecting)) {
                setSeen(true);
                watch.disconnect();
            }
        });
        if (box.current) watch.observe(box.current);
        return () => watch.disconnect();
    }, []);
    const at = `/tasks/${encodeURIComponent(task.id)}`;
    return html`<tr ref=${box}>
        <th scope="row"><a href=${url(at)}>${task.id}</a>${task.name !== task.id && html` <small>${task.name}</small>`}
            ${task.description && html`<p>${task.description.split('\n')[0]}</p>`}</th>
        ${seen ? html`<${Figures} task=${task} />` : html`<td class="runs"></td><td></td><td></td><td></td>`}
        ${can('run') && html`<td class="act"><a class="button" href=${url(`${at}/start`)} aria-label=${`Start ${task.id}`}><${Icon} name="play" />Start</a></td>`}
    </tr>`;
}

export default function Tasks() {
    const { answer, error, reload } = useResource('/v1/definitions');
    useCopyAs({ path: '/v1/definitions', cli: ['tasks'] });
    /** @type {Definition[] | undefined} */
    const tasks = answer?.json.definitions;
    return html`<header class="pagehead"><${Heading} title="Tasks" /></header>
        <${ProblemNote} error=${error} retry=${reload} />
        ${tasks?.length === 0 && html`<div class="empty"><p>No task is defined. Add a <code>[[tasks]]</code> block to the configuration, or compile a handler in.</p></div>`}
        ${tasks &&
        tasks.length > 0 &&
        html`<section class="card flush"><table class="tasks">
            <caption class="unseen">Tasks</caption>
            <thead><tr><th scope="col">Task</th><th scope="col">Last 20 runs</th><th scope="col" class="num">p50</th><th scope="col" class="num">p95</th>
                <th scope="col" class="num" title="Of those that ended in the last 24 hours">Failed</th>${can('run') && html`<th><span class="unseen">Start</span></th>`}</tr></thead>
            <tbody>${tasks.map((task) => html`<${Row} key=${task.id} task=${task} />`)}</tbody>
        </table></section>`}`;
}
