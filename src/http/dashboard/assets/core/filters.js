// Which instances a page shows: the API's own query parameters.

/** @typedef {{task_id: string, status: Status[], label: string[], created_after: string, created_before: string}} Filters */

export const NAMES = /** @type {const} */ (['task_id', 'status', 'label', 'created_after', 'created_before']);

/** @param {URLSearchParams} query @returns {Filters} */
export const readFilters = (query) => ({
    task_id: query.get('task_id') ?? '',
    status: /** @type {Status[]} */ ((query.get('status') ?? '').split(',').filter(Boolean)),
    label: query.getAll('label'),
    created_after: query.get('created_after') ?? '',
    created_before: query.get('created_before') ?? '',
});

/** @param {Partial<Filters>} filters @returns {URLSearchParams} */
export function writeFilters(filters) {
    const query = new URLSearchParams();
    for (const name of NAMES) {
        const value = filters[name];
        if (name === 'label') for (const label of filters.label ?? []) query.append('label', label);
        else if (value?.length) query.set(name, String(value));
    }
    return query;
}

/** The same list in a terminal; undefined where the program has no word for it. @param {Filters} filters
 * @param {string} [limit] @returns {string[] | undefined} */
export function psWords(filters, limit) {
    if (filters.created_before) return undefined;
    const words = ['ps'];
    if (filters.status.length) words.push('--status', filters.status.join(','));
    else words.push('-a');
    if (filters.task_id) words.push('--task', filters.task_id);
    for (const label of filters.label) words.push('--label', label);
    if (filters.created_after) words.push('--since', filters.created_after.replace(/^-/, ''));
    if (limit) words.push('-n', limit);
    return words;
}

const UNITS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** A time, or a duration ago such as `-24h`, in ms since 1970; NaN for what is neither. @param {string} text */
export function moment(text) {
    const found = /^-(\d+(?:\.\d+)?)(ms|s|m|h|d)?$/.exec(text);
    if (!found) return Date.parse(text);
    return Date.now() - Number(found[1]) * UNITS[/** @type {keyof typeof UNITS} */ (found[2] ?? 's')];
}

/** Whether the server would list it. @param {Filters} filters @param {Summary} one */
export function matches(filters, one) {
    if (filters.task_id && one.task_id !== filters.task_id) return false;
    if (filters.status.length && !filters.status.includes(one.status)) return false;
    const created = Date.parse(one.created_at);
    if (filters.created_after && created < moment(filters.created_after)) return false;
    if (filters.created_before && created >= moment(filters.created_before)) return false;
    return filters.label.every((label) => {
        const colon = label.indexOf(':');
        if (colon < 0) return Object.hasOwn(one.labels, label);
        return one.labels[label.slice(0, colon)] === label.slice(colon + 1);
    });
}
