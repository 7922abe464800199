// The log of an instance, alone.
import { html } from '../core/html.js';
import { url } from '../core/base.js';
import { newsOf } from '../core/live.js';
import { useResource } from '../core/resource.js';
import { route, setQuery } from '../core/router.js';
import { useCopyAs } from '../parts/copy_as.js';
import { Heading } from '../parts/heading.js';
import LogView from '../parts/log_view.js';
import { ProblemNote } from '../parts/problem.js';
import { InstanceStatus } from '../parts/status.js';

/** @param {PageProps} props */
export default function Logs({ params, query }) {
    const { answer, error, reload } = useResource(`/v1/instances/${encodeURIComponent(params.id)}`, news => Boolean(newsOf(news, params.id)));
    const instance = /** @type {Instance | null} */ (answer?.json ?? null);
    const filter = { stream: query.get('stream') ?? '', grep: query.get('grep') ?? '' };
    const asked = new URLSearchParams(Object.entries({ tail: '500', ...filter }).filter(([, value]) => value));
    useCopyAs({
        path: `/v1/instances/${params.id}/logs?${asked}`,
        accept: 'text/plain',
        cli: ['logs', params.id, ...(filter.stream === 'stderr' ? ['--stderr'] : []), ...(filter.grep ? ['--grep', filter.grep] : []), '-f'],
    });
    return html`<div class="logpage">
        <div class="pagehead">
            <${Heading} title=${`Log of ${params.id}`}>
                Log of <a href=${url(`/instances/${params.id}`)}>${instance ? `${instance.task_id} ${instance.number}` : params.id}</a>
            <//>
            ${instance && html`<${InstanceStatus} of=${instance} />`}
        </div>
        ${error && !instance
            ? html`<${ProblemNote} error=${error} retry=${reload} />`
            : html`<${LogView} key=${params.id} id=${params.id} own live=${!instance?.finished_at} filter=${filter}
                onFilter=${(/** @type {{stream: string, grep: string}} */ next) => changeFilter(next)} onEnd=${reload} />`}
    </div>`;
}

/** @param {{stream: string, grep: string}} next */
function changeFilter(next) {
    const query = new URLSearchParams(route.peek().query);
    for (const [name, value] of Object.entries(next)) {
        if (value) query.set(name, value);
        else query.delete(name);
    }
    setQuery(query, { replace: true });
}
