// Starts a task by a form that its JSON Schema makes, or by JSON; also again, with what an instance was given.
import { html, useEffect, useMemo, useRef, useState } from '../core/html.js';
import { url } from '../core/base.js';
import { get, Refused, send } from '../core/api.js';
import { can } from '../core/me.js';
import { faultOf, member, pretty } from '../core/raw_json.js';
import { inputWords, optionWords, startWords } from '../core/program_words.js';
import { useResource } from '../core/resource.js';
import { navigate } from '../core/router.js';
import { compose, placeFaults, rootOf } from '../core/schema_fields.js';
import { useCopyAs } from '../parts/copy_as.js';
import { Heading } from '../parts/heading.js';
import { Icon } from '../parts/icon.js';
import { ProblemNote } from '../parts/problem.js';
import { Faults, SchemaForm } from '../parts/schema_form.js';
import { NO_OPTIONS, optionAt, optionMembers, optionsOf, StartOptions } from '../parts/start_options.js';

/** @typedef {import('../core/schema_fields.js').Edits} Edits */

/** An instance whose inputs the form begins with, as JSON text too. @typedef {{instance: Instance, inputs: string}} Before */

/** @param {PageProps} props */
export default function StartPage({ params, query }) {
    const task = useResource(`/v1/definitions/${encodeURIComponent(params.id)}`);
    const from = query.get('from');
    const [before, setBefore] = useState(/** @type {Before | null} */ (null));
    const [error, setError] = useState(/** @type {unknown} */ (null));
    useEffect(() => {
        setBefore(null);
        if (!from) return;
        get(`/v1/instances/${encodeURIComponent(from)}`).then(
            ({ text, json }) => setBefore({ instance: json, inputs: member(text, 'inputs') ?? '{}' }),
            setError,
        );
    }, [from]);
    const id = task.answer?.json.id ?? params.id;
    const description = task.answer?.json.description;
    const schema = task.answer && member(task.answer.text, 'input_schema');
    return html`<header class="pagehead"><div>
            <p class="trail"><a href=${url('/tasks')}>Tasks</a> / <a href=${url(`/tasks/${encodeURIComponent(id)}`)}>${id}</a></p>
            <${Heading} title=${from ? `Run ${id} ${before?.instance.number ?? from} again` : `Start ${id}`} />
        </div></header>
        ${description && html`<p class="lead">${description}</p>`}
        <${ProblemNote} error=${task.error ?? error} retry=${task.reload} />
        ${task.answer && (!from || before) && (can('run')
            ? html`<${StartForm} key=${`${id} ${from}`} task=${id} schema=${schema} before=${before} />`
            : html`<p class="faint">Your token may read only; starting needs the scope <code>run</code>.</p>`)}`;
}

/** @param {{task: string, schema: string | null, before: Before | null}} props */
function StartForm({ task, schema, before }) {
    const root = useMemo(() => rootOf(schema), [schema]);
    const asBefore = before ? optionsOf(before.instance) : NO_OPTIONS;
    const [given, setGiven] = useState(before?.inputs ?? null);
    const [defaults, setDefaults] = useState(!before);
    const [edits, setEdits] = useState(/** @type {Edits} */ (new Map()));
    const [options, setOptions] = useState(asBefore);
    /** The text in the JSON field while that is shown. */
    const [json, setJson] = useState(/** @type {string | null} */ (root.kind === 'json' ? pretty(before?.inputs ?? '{}') : null));
    const [faults, setFaults] = useState(/** @type {Map<string, string[]>} */ (new Map()));
    const [optionFaults, setOptionFaults] = useState(/** @type {Map<string, string[]>} */ (new Map()));
    const [problem, setProblem] = useState(/** @type {unknown} */ (null));
    const [checked, setChecked] = useState('');
    const [busy, setBusy] = useState(false);
    const form = useRef(/** @type {HTMLFormElement | null} */ (null));
    const key = useRef({ body: '', key: '' });
    const refused = useRef(false);

    const composed = useMemo(() => compose(root, given, edits, defaults), [root, given, edits, defaults]);
    const untouched = json !== null && json === pretty(given ?? composed.json);
    const inputs = json === null ? composed.json : untouched ? (given ?? composed.json) : json.trim();
    const fault = useMemo(() => faultOf(inputs), [inputs]);
    // A done instance is retried, which keeps what it was given beside its inputs and tells where the new one is from.
    const retries = before !== null && before.instance.finished_at !== null;
    const changed = optionMembers(options, retries ? asBefore : NO_OPTIONS);
    const body = bodyOf([...(retries ? [] : [/** @type {[string, string]} */ (['task_id', JSON.stringify(task)])]), ['inputs', inputs || 'null'], ...changed]);
    const path = retries ? `/v1/instances/${before.instance.id}/retry` : '/v1/instances';
    useCopyAs({ path, method: 'POST', body, cli: cliOf() });

    /** The same for the program, which changes no options of a retry. */
    function cliOf() {
        if (fault !== null || (json === null && composed.faults.length)) return undefined;
        if (!retries) return ['start', task, ...startWords(inputs, schema), ...optionWords(changed)];
        const words = inputWords({ json: inputs, before: before?.inputs, schema, flag: '--set' });
        return words && !changed.length ? ['retry', String(before?.instance.number), ...words] : undefined;
    }

    // The first field that is wrong takes the focus, once it is there.
    useEffect(() => {
        if (!refused.current) return;
        refused.current = false;
        const first = form.current?.querySelector('[aria-invalid=true]');
        if (first instanceof HTMLElement) first.focus();
        else form.current?.querySelector('[role=alert]')?.scrollIntoView({ block: 'nearest' });
    }, [faults, optionFaults]);

    /** @param {Fault[]} found @param {unknown} error */
    const refuse = (found, error) => {
        refused.current = true;
        /** @type {Map<string, string[]>} */
        const ofOptions = new Map();
        const ofInputs = [];
        for (const { pointer = '', detail } of found) {
            const option = pointer.startsWith('/inputs') ? null : optionAt(pointer);
            if (option) ofOptions.set(option, [...(ofOptions.get(option) ?? []), detail]);
            else ofInputs.push({ pointer: pointer.replace(/^\/inputs/, ''), detail });
        }
        setOptionFaults(ofOptions);
        const placed = json === null ? placeFaults(root, ofInputs) : new Map(ofInputs.length ? [['', ofInputs.map(one => (one.pointer ? `${one.pointer}: ` : '') + one.detail)]] : []);
        setFaults(placed);
        setProblem(error);
    };
    /** @param {boolean} dry */
    const submit = async dry => {
        if (busy) return;
        setChecked('');
        if (json === null && composed.faults.length) return refuse(composed.faults, null);
        if (fault !== null) return refuse([{ pointer: '', detail: fault }], null);
        // The same once more is the same start: also a second press, or one after a lost answer.
        if (key.current.body !== body) key.current = { body, key: crypto.getRandomValues(new Uint32Array(4)).join('-') };
        setBusy(true);
        try {
            if (dry) {
                const whole = bodyOf([['task_id', JSON.stringify(task)], ['inputs', inputs || 'null'], ...changed]);
                await send('POST', '/v1/instances?dry_run', whole);
                refuse([], null);
                refused.current = false;
                setChecked('It would be accepted.');
            } else {
                const answer = await send('POST', path, body, { 'Idempotency-Key': key.current.key });
                return navigate(`/instances/${answer.json.number}`);
            }
        } catch (error) {
            const found = error instanceof Refused ? (error.problem.errors ?? []) : [];
            refuse(found, found.length ? null : error);
        } finally {
            setBusy(false);
        }
    };
    /** @param {'form' | 'json'} way */
    const show = way => {
        setProblem(null);
        setFaults(new Map());
        if (way === 'json' && json === null) {
            setJson(pretty(composed.json));
            setGiven(composed.json);
        } else if (way === 'form' && json !== null) {
            const wrong = fault ?? (inputs.startsWith('{') ? null : 'The inputs must be an object');
            if (wrong !== null) return refuse([{ pointer: '', detail: wrong }], null);
            // What was not changed as JSON stays as it was; defaults have been written out.
            setGiven(inputs);
            setEdits(new Map());
            setDefaults(false);
            setJson(null);
        }
    };
    /** @type {import('../parts/schema_form.js').Form['edit']} */
    const edit = (pointer, typed, before = []) => {
        setChecked('');
        setEdits(was => {
            const next = new Map(was);
            if (typed === undefined) next.delete(pointer);
            else next.set(pointer, typed);
            return next;
        });
        // An element keeps what is wrong with it while it is the same one, at whatever index.
        const moved = new Map(before.map((one, at) => [`${pointer}/${at}`, Array.isArray(typed) ? typed.indexOf(one) : -1]));
        if (faults.size) setFaults(was => new Map([...was].flatMap(([at, said]) => {
            const to = moved.get(at);
            if (at === pointer || to === -1) return [];
            return [[to === undefined ? at : `${pointer}/${to}`, said]];
        })));
    };
    /** @param {SubmitEvent} event */
    const submitted = event => {
        event.preventDefault();
        void submit(false);
    };
    const atAll = faults.get('');
    return html`<form ref=${form} class="start card" novalidate onSubmit=${submitted}>
        <div class="formhead">
            <h2>Inputs</h2>
            ${root.kind !== 'json' && html`<div class="switch" role="group" aria-label="How to enter the inputs">
                <button type="button" aria-pressed=${json === null} onClick=${() => show('form')}>Form</button>
                <button type="button" aria-pressed=${json !== null} onClick=${() => show('json')}>JSON</button>
            </div>`}
        </div>
        ${json === null
            ? html`<${Faults} id="inputs" faults=${atAll} />
                ${root.fields.length === 0 && html`<p class="faint">It takes none.</p>`}
                <${SchemaForm} root=${root} given=${given} form=${{ edits, defaults, faults, edit }} />`
            : html`<div class="field">
                <label for="inputs-json" class="unseen">Inputs as JSON</label>
                <textarea id="inputs-json" class="mono" rows="14" spellcheck=${false} value=${json} aria-invalid=${atAll ? 'true' : undefined}
                    aria-describedby=${atAll ? 'inputs-faults' : undefined} onInput=${(/** @type {any} */ event) => (setChecked(''), setJson(event.target.value))}></textarea>
                <${Faults} id="inputs" faults=${atAll} />
            </div>`}
        <${StartOptions} options=${options} before=${retries ? { ...asBefore, labels: '' } : NO_OPTIONS} faults=${optionFaults} edit=${(/** @type {any} */ next) => (setChecked(''), setOptions(next))} />
        <${ProblemNote} error=${problem} />
        <div class="actions">
            <button class="primary" disabled=${busy}><${Icon} name="play" />Start</button>
            <button type="button" disabled=${busy} onClick=${() => submit(true)}>Check</button>
            <span role="status">${checked && html`<span class="status completed"><${Icon} name="completed" />${checked}</span>`}</span>
        </div>
    </form>`;
}

/** @param {[string, string][]} parts names and JSON */
const bodyOf = parts => `{${parts.map(([name, json]) => `${JSON.stringify(name)}:${json}`).join(',')}}`;
