// One instance: how it is, what it was given, what it said.
import { html, useEffect, useMemo, useRef, useState } from '../core/html.js';
import { url } from '../core/base.js';
import { later } from '../core/later.js';
import { newsOf, subscribe } from '../core/live.js';
import { member, pretty, prettyTokens } from '../core/raw_json.js';
import { useResource } from '../core/resource.js';
import { absolute, Ago, duration, Elapsed, now, secondsBetween } from '../core/time.js';
import { AttemptTimeline } from '../parts/attempt_timeline.js';
import { CopyButton, useCopyAs } from '../parts/copy_as.js';
import { Heading } from '../parts/heading.js';
import { InstanceActions } from '../parts/instance_actions.js';
import { ProblemNote } from '../parts/problem.js';
import { percent } from '../parts/progress.js';
import { InstanceStatus } from '../parts/status.js';

const LogView = later(() => import('../parts/log_view.js'));

const COLOURED = 20_000; // characters: of more each colour costs more than it gives
const INDENTED = 500_000;
const CERTAIN = 0.02; // progress: before it nobody can say how long the rest will take

/** What is left, if progress goes on as it did. @param {Instance} of */
function left(of) {
    if (of.status !== 'running' || !of.started_at || of.progress < CERTAIN || of.progress >= 1) return null;
    return (secondsBetween(of.started_at) / of.progress) * (1 - of.progress);
}

/** The bar, what is told beside it, and how long it takes. @param {{of: Instance}} props */
function Now({ of }) {
    const rest = left(of);
    const done = of.finished_at !== null;
    return html`<section class="card now" aria-label="Progress">
        <div class="bar">
            <${InstanceStatus} of=${of} />
            ${(of.progress > 0 || of.status === 'running') && html`<progress max="1" value=${of.progress || undefined} aria-label="Progress"></progress>
                <span class="num percent">${of.progress > 0 && percent(of.progress)}</span>`}
        </div>
        ${of.message && html`<p class="message">${of.message}</p>`}
        ${of.status === 'running' && of.stop_deadline && html`<p class="message">Asked to stop; it has ${duration(Math.max(0, Math.ceil(-secondsBetween(of.stop_deadline))))} left to end by itself.</p>`}
        ${of.status === 'pending' && of.pending_reason === 'scheduled' && html`<p class="message">Begins <${Ago} at=${of.run_at} />.</p>`}
        <dl class="figures">
            <div><dt>${done ? 'Took' : 'Elapsed'}</dt><dd>${of.started_at ? html`<${Elapsed} from=${of.started_at} to=${of.finished_at} />` : '–'}</dd></div>
            ${rest !== null && html`<div><dt>Left, about</dt><dd class="num">${duration(Math.max(1, Math.round(rest)))}</dd></div>`}
            <div><dt>Attempt</dt><dd class="num">${of.attempt} of ${of.max_attempts}</dd></div>
        </dl>
    </section>`;
}

/** @param {{of: Instance}} props */
function Facts({ of }) {
    /** @param {string | null} at */
    const time = at => at && html`<${Ago} at=${at} /> <small class="faint">${absolute(at)}</small>`;
    /** @type {[string, any][]} */
    const facts = [
        ['Task', html`<a href=${url(`/tasks/${encodeURIComponent(of.task_id)}`)}>${of.task_id}</a>`],
        ['Created', time(of.created_at)],
        ['Started', time(of.started_at)],
        ['Finished', time(of.finished_at)],
        ['Timeout', of.timeout === null ? null : duration(of.timeout)],
        ['Priority', of.priority || null],
        ['Node', of.node],
        ['Retry of', of.retry_of && html`<a href=${url(`/instances/${of.retry_of}`)}>the instance before</a>`],
        ['Labels', Object.keys(of.labels).length > 0 && html`<span class="labels">${Object.entries(of.labels).map(([key, value]) =>
            html`<a class="label" href=${url(`/instances?label=${encodeURIComponent(`${key}:${value}`)}`)}><b>${key}</b>${value}</a>`)}</span>`],
        ['Id', html`<code class="uuid">${of.id}</code>`],
    ];
    return html`<section class="card" aria-label="Facts"><h2>Facts</h2>
        <dl class="facts">${facts.map(([name, value]) => value && html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>
    </section>`;
}

/** JSON as the server wrote it, only indented and coloured. @param {{title: string, text: string, children?: any}} props */
function JsonBlock({ title, text, children }) {
    const shown = useMemo(() => {
        if (text.length > INDENTED) return text;
        if (text.length > COLOURED) return pretty(text);
        return prettyTokens(text).map(token => (token.kind === 'mark' ? token.text : html`<span class=${`j-${token.kind}`}>${token.text}</span>`));
    }, [text]);
    return html`<section class="card json" aria-label=${title}>
        <h2>${title} <${CopyButton} text=${text} label=${`Copy the ${title.toLowerCase()}`} /></h2>
        ${children}
        <pre tabindex="0" role="group" aria-label=${title}>${shown}</pre>
    </section>`;
}

/** @param {{error: TaskError, text: string}} props */
function Failure({ error, text }) {
    return html`<section class="card failure" aria-label="Error">
        <h2>Error <small>${error.kind.replaceAll('_', ' ')}, attempt ${error.attempt}</small></h2>
        <pre tabindex="0" role="group" aria-label="Message">${error.message}</pre>
        ${error.causes && error.causes.length > 0 && html`<ol class="causes">${error.causes.map(cause => html`<li>${cause}</li>`)}</ol>`}
        <details><summary>As JSON</summary><pre>${text}</pre></details>
    </section>`;
}

/** An instance that stays true. @param {string} id number or UUID */
function useInstance(id) {
    const resource = useResource(`/v1/instances/${encodeURIComponent(id)}`, news => Boolean(newsOf(news, id)));
    const read = /** @type {Instance | null} */ (resource.answer?.json ?? null);
    // What the feed tells is shown at once; what it leaves out (inputs, output, result) follows with the next reading.
    const [told, setTold] = useState(/** @type {Summary | null} */ (null));
    useEffect(() => subscribe(news => {
        const one = newsOf(news, id);
        if (one) setTold(one);
    }), [id]);
    const of = read && told && told.id === read.id && told.version > read.version ? { ...read, ...told } : read;
    return { ...resource, of };
}

/** Its attempts: read again when one begins or ends. @param {string} id number or UUID @returns {Attempt[]} */
function useAttempts(id) {
    const known = useRef('');
    return useResource(`/v1/instances/${encodeURIComponent(id)}/attempts`, news => {
        const one = newsOf(news, id);
        const state = one && `${one.attempt} ${one.status}`;
        if (!state || state === known.current) return false;
        known.current = state;
        return true;
    }).answer?.json.attempts ?? [];
}

/** @param {PageProps} props */
export default function InstancePage({ params }) {
    const { of, answer, error, reload } = useInstance(params.id);
    const attempts = useAttempts(params.id);
    useCopyAs({ path: `/v1/instances/${params.id}`, cli: ['status', params.id] });
    const text = answer?.text ?? '';
    const [inputs, output, result, failure] = ['inputs', 'output', 'result', 'error'].map(name => member(text, name) ?? 'null');
    // Read once more a second, so that what is left counts down.
    if (of?.status === 'running') void now.value;
    return html`<header class="pagehead">
            <div><p class="trail"><a href=${url('/instances')}>Instances</a></p><${Heading} title=${of ? `${of.task_id} ${of.number}` : params.id} /></div>
            ${of && html`<${InstanceActions} key=${of.id} of=${of} changed=${reload} />`}
        </header>
        <${ProblemNote} error=${error} retry=${reload} />
        ${of && html`
            <${Now} of=${of} />
            ${of.error && html`<${Failure} error=${of.error} text=${failure} />`}
            <div class="columns instance">
                <div>
                    <${JsonBlock} title="Inputs" text=${inputs} />
                    ${result !== 'null' && result !== output && html`<${JsonBlock} title="Result" text=${result} />`}
                    ${output !== 'null' && html`<${JsonBlock} title="Output" text=${output} />`}
                    ${attempts.length > 0 && html`<${AttemptTimeline} of=${of} attempts=${attempts} />`}
                </div>
                <${Facts} of=${of} />
            </div>
            <section class="card flush"><h2>Log</h2><${LogView} key=${of.id} id=${String(of.number)} own=${false} live=${!of.finished_at} /></section>`}`;
}
