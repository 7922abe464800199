// All instances, filtered by the address: `/v1` in front of it is the call of the API.
import { html, useEffect, useMemo, useState } from '../core/html.js';
import { url } from '../core/base.js';
import { NAMES, psWords, readFilters, writeFilters } from '../core/filters.js';
import { LONGEST_PAGE, useInstances } from '../core/instances.js';
import { useKeys } from '../core/keys.js';
import { can } from '../core/me.js';
import { useResource } from '../core/resource.js';
import { navigate, setQuery } from '../core/router.js';
import { BulkBar } from '../parts/bulk_bar.js';
import { useCopyAs } from '../parts/copy_as.js';
import { FilterBar } from '../parts/filter_bar.js';
import { Heading } from '../parts/heading.js';
import { Icon } from '../parts/icon.js';
import { InstanceTable } from '../parts/instance_table.js';
import { ProblemNote } from '../parts/problem.js';

const PAGE = 50;

/** @param {PageProps} props */
export default function Instances({ query }) {
    const filters = readFilters(query);
    const text = writeFilters(filters).toString();
    const [ids, setIds] = useState(/** @type {Set<string>} */ (new Set()));
    const [all, setAll] = useState(false);
    const unknown = [...new Set(query.keys())].filter((name) => name !== 'limit' && !(/** @type {readonly string[]} */ (NAMES)).includes(name));
    const wanted = query.get('limit') ?? '';
    const limit = /^[1-9]\d*$/.test(wanted) ? String(Math.min(Number(wanted), LONGEST_PAGE)) : '';
    if (wanted && !limit) unknown.push('limit');
    /** The filters, and what else the address says of the list. @param {typeof filters} next */
    const addressOf = (next) => {
        const address = writeFilters(next);
        if (limit) address.set('limit', limit);
        return address;
    };
    const list = useInstances(text, limit ? Number(limit) : PAGE, () => scrollY > 8 || ids.size > 0);
    const tasks = useResource('/v1/definitions').answer?.json.definitions ?? null;
    const ofTask = filters.task_id ? `?task_id=${encodeURIComponent(filters.task_id)}` : '';
    const narrow = filters.label.length || filters.created_after || filters.created_before;
    const stats = useResource(narrow ? null : `/v1/stats${ofTask}`, (news) => news.changed.size > 0);
    const counts = narrow ? null : (stats.answer?.json.by_status ?? null);

    const clear = () => {
        setIds(new Set());
        setAll(false);
    };
    useEffect(clear, [text]);
    const selection = useMemo(() => ({ ids, set: (/** @type {Set<string>} */ next) => (setIds(next), setAll(false)) }), [ids]);
    const address = addressOf(filters).toString();
    useCopyAs({ path: `/v1/instances${address && `?${address}`}`, cli: psWords(filters, limit) });
    useKeys([{ keys: 'n', does: 'Start a task', run: () => navigate(filters.task_id ? `/tasks/${encodeURIComponent(filters.task_id)}/start` : '/tasks') }], [text]);

    const show = () => {
        list.showWaiting();
        scrollTo({ top: 0 });
    };
    const rows = list.rows;
    const start = filters.task_id ? `/tasks/${encodeURIComponent(filters.task_id)}/start` : '/tasks';
    return html`<header class="pagehead">
            <${Heading} title="Instances" />
            ${can('run') && html`<a class="button primary" href=${url(start)}><${Icon} name="play" />Start${filters.task_id ? '' : ' a task'}</a>`}
        </header>
        <${FilterBar} filters=${filters} tasks=${tasks} counts=${counts} change=${(/** @type {typeof filters} */ next) => setQuery(addressOf(next))} />
        ${unknown.length > 0 && html`<p class="fault" role="note">This list does not heed ${unknown.join(', ')} of the address: the API would refuse ${unknown.length > 1 ? 'them' : 'it'}.</p>`}
        <${ProblemNote} error=${list.error} retry=${list.reload} />
        <div class="pillbox" role="status">${list.waiting > 0 && html`<button type="button" class="pill" onClick=${show}><${Icon} name="up" />${list.waiting} new</button>`}</div>
        ${rows && rows.length > 0 && html`<${InstanceTable} rows=${rows} caption="Instances, newest first" selection=${can('run') ? selection : undefined} />`}
        ${rows && rows.length === 0 && !list.error &&
        html`<div class="empty">
            <p>${text ? 'No instance matches.' : 'No instance yet.'}</p>
            ${text ? html`<button type="button" onClick=${() => setQuery(new URLSearchParams())}>Clear the filters</button>` : html`<a class="button" href=${url('/tasks')}>Choose a task to start</a>`}
        </div>`}
        ${list.more && html`<p class="center"><button type="button" onClick=${list.loadMore} disabled=${list.busy}>Show older ones</button></p>`}
        ${can('run') && html`<${BulkBar} rows=${rows ?? []} ids=${ids} clear=${clear} query=${text} all=${all} setAll=${setAll} more=${list.more} />`}`;
}
