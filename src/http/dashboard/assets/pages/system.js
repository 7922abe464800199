// The daemon itself: what it is, where it writes, how it is set.
import { html, useEffect, useState } from '../core/html.js';
import { url } from '../core/base.js';
import { send } from '../core/api.js';
import { useResource } from '../core/resource.js';
import { Ago } from '../core/time.js';
import { useCopyAs } from '../parts/copy_as.js';
import { Heading } from '../parts/heading.js';
import { ProblemNote } from '../parts/problem.js';

/** Bytes as people read them. @param {number | null} bytes */
function size(bytes) {
    if (bytes === null) return 'not known';
    const at = Math.min(4, Math.floor(Math.log2(Math.max(bytes, 1)) / 10));
    const value = bytes / 1024 ** at;
    return `${value >= 100 || at === 0 ? Math.round(value) : value.toFixed(1)} ${['B', 'KiB', 'MiB', 'GiB', 'TiB'][at]}`;
}

/** @param {{title: string, facts: [string, any][]}} props */
const Facts = ({ title, facts }) =>
    html`<section class="card"><h2>${title}</h2><dl class="facts">${facts.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl></section>`;

const written = (/** @type {unknown} */ value) => (typeof value === 'string' ? value : JSON.stringify(value));

async function logOut() {
    await send('DELETE', '/login');
    location.assign(url('/login'));
}

export default function System() {
    const { answer, error, reload } = useResource('/v1/system', (news) => [...news.changed.values()].some((one) => one.finished_at));
    useCopyAs({ path: '/v1/system', cli: ['api', 'GET', '/v1/system'] });
    const [contract, setContract] = useState(false);
    useEffect(() => void fetch(url('/docs'), { method: 'HEAD' }).then((answer) => setContract(answer.ok), () => {}), []);
    /** @type {SystemInfo | undefined} */
    const info = answer?.json;
    return html`<header class="pagehead"><${Heading} title="System" /></header>
        <${ProblemNote} error=${error} retry=${reload} />
        ${info &&
        html`<div class="columns even">
                <${Facts} title="Daemon" facts=${[
                    ['Version', info.version],
                    ['Node', info.node],
                    ['Started', html`<${Ago} at=${info.started_at} />`],
                    ['State', info.health.draining ? 'draining: it takes no starts and goes when the last attempt has ended' : info.health.ready ? 'ready' : 'not ready'],
                    ['Handler slots', html`<span class="num">${info.slots.local.used} of ${info.slots.local.total} used</span>`],
                    ['Command slots', html`<span class="num">${info.slots.command.used} of ${info.slots.command.total} used</span>`],
                ]} />
                <${Facts} title="Store" facts=${[
                    ['Kind', info.store.backend],
                    ['File', html`<code>${info.store.path}</code>`],
                    ['Size', html`<span class="num">${size(info.store.bytes)}</span>`],
                    ['Free on the disk', html`<span class="num">${size(info.store.disk_free)}</span>`],
                    ['Synchronous', info.store.synchronous],
                    ['Schema', info.store.schema],
                ]} />
                <${Facts} title="You" facts=${[
                    ['Token', info.you.name ?? 'none needed'],
                    ['May', info.you.scopes.join(', ')],
                    ...(info.you.name ? [['', html`<button type="button" onClick=${logOut}>Log out</button>`]] : []),
                    ['Documents', html`${contract && html`<a href=${url('/docs')}>contract</a> · `}<a href=${url('/openapi.yaml')}>openapi.yaml</a> · <a href=${url('/metrics')}>metrics</a> · <a href=${url('/readyz?verbose')}>readiness</a>`],
                ]} />
            </div>
            ${info.settings.length > 0 &&
            html`<section class="card flush"><h2>Settings</h2><div class="tablebox" tabindex="0" role="region" aria-label="Settings"><table class="settings">
                <caption class="unseen">Settings and where they come from</caption>
                <thead><tr><th scope="col">Setting</th><th scope="col">Value</th><th scope="col">From</th></tr></thead>
                <tbody>${info.settings.map((one) => html`<tr key=${one.key} class=${one.origin === 'default' ? 'faint' : ''}>
                    <th scope="row"><code>${one.key}</code></th><td><code>${written(one.value)}</code></td><td>${one.origin}</td>
                </tr>`)}</tbody>
            </table></div></section>`}`}`;
}
