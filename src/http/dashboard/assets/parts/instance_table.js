// Instances as a table: one row each, with a row that the keys move, and with boxes to select by.
import { html, useEffect, useRef, useState } from '../core/html.js';
import { url } from '../core/base.js';
import { useKeys } from '../core/keys.js';
import { navigate } from '../core/router.js';
import { Ago, Elapsed } from '../core/time.js';
import { Progress } from './progress.js';
import { InstanceStatus } from './status.js';

/** Which are selected, and how to change that.
 * @typedef {{ids: Set<string>, set: (ids: Set<string>) => void}} Selection */

/** @param {{of: Summary}} props */
const Labels = ({ of }) =>
    html`<span class="labels">${Object.entries(of.labels).map(([key, value]) => {
        const label = `${key}:${value}`;
        return html`<a class="label" href=${url(`/instances?label=${encodeURIComponent(label)}`)} title=${`All with ${label}`}><b>${key}</b>${value}</a>`;
    })}</span>`;

/** @param {{of: Summary, current: boolean, selection?: Selection, task: boolean}} props */
function Row({ of, current, selection, task }) {
    const box = useRef(/** @type {HTMLElement | null} */ (null));
    useEffect(() => {
        if (!current) return;
        box.current?.scrollIntoView({ block: 'nearest' });
        box.current?.focus({ preventScroll: true });
    }, [current]);
    const selected = selection?.ids.has(of.id) ?? false;
    const select = () => {
        const ids = new Set(selection?.ids);
        if (!ids.delete(of.id)) ids.add(of.id);
        selection?.set(ids);
    };
    return html`<tr ref=${box} tabindex=${current ? -1 : undefined} aria-current=${current ? 'true' : undefined} class=${`${current ? 'current ' : ''}${selected ? 'selected' : ''}`}>
        ${selection && html`<td class="box"><input type="checkbox" checked=${selected} onChange=${select} aria-label=${`Select ${of.number}`} /></td>`}
        <td><${InstanceStatus} of=${of} /></td>
        <td class="num"><a href=${url(`/instances/${of.number}`)}>${of.number}</a></td>
        ${task && html`<td class="task"><a href=${url(`/tasks/${encodeURIComponent(of.task_id)}`)}>${of.task_id}</a></td>`}
        <td class="grow"><${Progress} of=${of} /></td>
        <td class="when">${of.started_at ? html`<${Ago} at=${of.started_at} />` : html`<span class="faint">—</span>`}</td>
        <td class="took">${of.started_at && of.status !== 'pending' ? html`<${Elapsed} from=${of.started_at} to=${of.finished_at} />` : html`<span class="faint">—</span>`}</td>
        <td class="some"><${Labels} of=${of} /></td>
    </tr>`;
}

/** @param {{rows: Summary[], caption: string, selection?: Selection, task?: boolean}} props */
export function InstanceTable({ rows, caption, selection, task = true }) {
    const [at, setAt] = useState(/** @type {string | null} */ (null));
    const place = rows.findIndex((one) => one.id === at);
    const move = (/** @type {number} */ by) => {
        const next = rows[Math.min(rows.length - 1, Math.max(0, place < 0 ? 0 : place + by))];
        if (next) setAt(next.id);
    };
    useKeys(
        [
            { keys: 'j', does: 'Next row', run: () => move(1) },
            { keys: 'k', does: 'Row before', run: () => move(-1) },
            { keys: 'Enter', does: 'Open the row', run: () => place >= 0 && navigate(`/instances/${rows[place].number}`) },
            ...(selection
                ? [
                      {
                          keys: 'x',
                          does: 'Select the row',
                          run: () => {
                              if (place < 0) return;
                              const ids = new Set(selection.ids);
                              if (!ids.delete(rows[place].id)) ids.add(rows[place].id);
                              selection.set(ids);
                          },
                      },
                  ]
                : []),
        ],
        [rows, at, selection?.ids],
    );
    const all = rows.length > 0 && rows.every((one) => selection?.ids.has(one.id));
    return html`<div class="tablebox"><table class="instances">
        <caption class="unseen">${caption}</caption>
        <thead>
            <tr>
                ${selection &&
                html`<th class="box"><input type="checkbox" checked=${all} aria-label="Select all that are shown"
                    onChange=${() => selection.set(new Set(all ? [] : rows.map((one) => one.id)))} /></th>`}
                <th scope="col">Status</th>
                <th scope="col" class="num">Number</th>
                ${task && html`<th scope="col">Task</th>`}
                <th scope="col">Progress</th>
                <th scope="col" class="when">Started</th>
                <th scope="col" class="took">Duration</th>
                <th scope="col" class="some">Labels</th>
            </tr>
        </thead>
        <tbody>${rows.map((one) => html`<${Row} key=${one.id} of=${one} current=${one.id === at} selection=${selection} task=${task} />`)}</tbody>
    </table></div>`;
}
