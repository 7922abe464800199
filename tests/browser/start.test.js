// Starting tasks by the form that their schema makes.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventually } from './harness/browser.js';
import { copied, run } from './harness/shell.js';
import { assertClean, suite } from './harness/suite.js';

/** A task that takes nothing but what its schema says. */
const STRICT = `
[[tasks]]
name = "strict"
command = ["true"]
input_schema = { type = "object", required = ["big", "code", "when", "where", "tags", "kind"], properties = { big = { type = "integer", minimum = 9007199254740993, maximum = 9007199254740995 }, code = { type = "string", minLength = 4, maxLength = 6 }, when = { type = "string", format = "date-time" }, where = { type = "object", required = ["city"], properties = { city = { type = "string", minLength = 2 }, zip = { type = "number", default = 1.0 } } }, tags = { type = "array", minItems = 2, items = { type = "string" } }, kind = { enum = ["a", "b"] }, tree = { "$ref" = "#/properties/tree" } } }
`;
const { daemon, browser } = await suite({ config: STRICT });

/** The number of the instance whose page is shown. @param {import('playwright-core').Page} page */
async function startedNumber(page) {
    await page.waitForURL(/\/instances\/\d+$/);
    return Number(new URL(page.url()).pathname.split('/').pop());
}

/** The inputs as the server has them. @param {number} number */
const inputsOf = async number => /"inputs":(\{.*?\}),"output"/.exec(await daemon.text('GET', `/v1/instances/${number}`))?.[1];

test('a task is started through the form', async t => {
    const page = await browser.page(t);
    await page.goto('/tasks');
    await page.getByRole('link', { name: 'form', exact: true }).click();
    await page.getByRole('link', { name: 'Start', exact: true }).click();
    await page.getByLabel('name', { exact: false }).first().fill('Ada');
    await page.getByLabel('count').fill('9007199254740993');
    await page.getByLabel('size').selectOption('large');
    await page.getByRole('group', { name: 'tags' }).getByRole('button', { name: 'Add' }).click();
    await page.getByLabel('tags, element 1').fill('new');
    await page.getByLabel('city').fill('Paris');
    await page.getByText('Options').click();
    await page.getByLabel('Labels').fill('customer:acme\nkind:trial');
    await page.getByLabel('Priority').fill('5');
    await page.getByRole('button', { name: 'Start' }).click();
    const number = await startedNumber(page);
    const instance = await daemon.until(number, ['completed']);
    assert.deepEqual(instance.labels, { customer: 'acme', kind: 'trial' });
    assert.equal(instance.priority, 5);
    const inputs = await inputsOf(number);
    assert.deepEqual(
        { ...JSON.parse(inputs ?? ''), count: undefined },
        { name: 'Ada', count: undefined, loud: true, ratio: 0.5, size: 'large', tags: ['new'], where: { city: 'Paris' } },
    );
    assert.match(inputs ?? '', /"count":9007199254740993[,}]/);
    await page.getByLabel('Inputs').getByText('9007199254740993').first().waitFor();
    assertClean(page);
});

test('what the server refuses stands at its field, which has the focus', async t => {
    const page = await browser.page(t);
    await page.goto('/tasks/sleep/start');
    const seconds = page.getByLabel('seconds');
    await seconds.fill('-1');
    await page.getByRole('button', { name: 'Start' }).click();
    await page.getByText('must be a number of seconds from 0 to 86400, not -1').waitFor();
    assert.equal(await seconds.getAttribute('aria-invalid'), 'true');
    const told = await seconds.evaluate(input =>
        (input.getAttribute('aria-describedby') ?? '').split(' ').map(id => document.getElementById(id)?.textContent).join(' '));
    assert.match(told, /not -1/);
    assert.ok(await seconds.evaluate(input => input === document.activeElement));
    await seconds.fill('0');
    assert.equal(await seconds.getAttribute('aria-invalid'), null);
    await page.getByRole('button', { name: 'Start' }).click();
    await startedNumber(page);
    assertClean(page, /status of 422/);
});

test('an option that is refused opens the options, and a missing member is told at its field', async t => {
    const page = await browser.page(t);
    await page.goto('/tasks/form/start');
    await page.getByLabel('count').fill('2');
    await page.getByRole('button', { name: 'Check' }).click();
    const name = page.locator('#in-47name');
    await page.locator('#in-47name-faults').waitFor();
    assert.match((await page.locator('#in-47name-faults').textContent()) ?? '', /required property/);
    await name.fill('Ada');
    await page.getByText('Options').click();
    await page.getByLabel('Delay').fill('soon');
    await page.getByText('Options').click();
    await page.getByRole('button', { name: 'Check' }).click();
    await page.locator('#option-delay-faults').waitFor();
    assert.ok(await page.locator('#option-delay').isVisible());
    await page.getByLabel('Delay').fill('2h');
    await page.getByRole('button', { name: 'Check' }).click();
    await page.getByText('It would be accepted.').waitFor();
    const { instances } = await daemon.call('GET', '/v1/instances?task_id=form&status=pending');
    assert.equal(instances.length, 0, 'checking starts nothing');
    assertClean(page, /status of 422/);
});

test('two presses start one', async t => {
    const page = await browser.page(t);
    const before = (await daemon.call('GET', '/v1/instances?task_id=sleep')).instances.length;
    await page.goto('/tasks/sleep/start');
    await page.getByLabel('seconds').fill('0.5');
    // Both in one turn of the page, before it could disable the button.
    await page.getByRole('button', { name: 'Start' }).evaluate(button => {
        /** @type {HTMLButtonElement} */ (button).click();
        /** @type {HTMLButtonElement} */ (button).click();
    });
    await startedNumber(page);
    const after = (await daemon.call('GET', '/v1/instances?task_id=sleep')).instances.length;
    assert.equal(after - before, 1);
    assertClean(page);
});

test('a start whose answer was lost is not started again', async t => {
    const page = await browser.page(t);
    await page.goto('/tasks/sleep/start');
    await page.getByLabel('seconds').fill('0.25');
    let lose = true;
    await page.route('**/v1/instances', async route => {
        if (route.request().method() !== 'POST' || !lose) return route.continue();
        lose = false;
        await route.fetch();
        return route.abort();
    });
    await page.getByRole('button', { name: 'Start' }).click();
    await page.getByText('The daemon does not answer.').first().waitFor();
    await page.getByRole('button', { name: 'Start' }).click();
    const number = await startedNumber(page);
    const all = (await daemon.call('GET', '/v1/instances?task_id=sleep')).instances;
    assert.equal(all.filter((/** @type {any} */ one) => one.number >= number).length, 1);
    assertClean(page, /net::ERR_FAILED/);
});

test('it runs again with a changed input, and what was not changed goes back as it was', async t => {
    const page = await browser.page(t);
    const given = '{"name":"\\u00e9t\\u00e9","count":9007199254740993,"ratio":1.50,"tags":["\\u0061","b"],"where":{"zip":7,"city":"Oslo","more":1e3},"unknown":[1.0,{"x":12345678901234567890}]}';
    const text = await daemon.text('POST', '/v1/instances', `{"task_id":"form","inputs":${given},"labels":{"a":"b"}}`);
    const first = JSON.parse(text).number;
    await daemon.until(first, ['completed']);
    const stored = await inputsOf(first);
    await page.goto(`/instances/${first}`);
    await page.getByRole('link', { name: 'Run again with changes' }).click();
    await page.getByLabel('city').fill('Rome');
    await page.getByRole('button', { name: 'Start' }).click();
    await eventually(() => !page.url().endsWith('/start') && /\/instances\/\d+$/.test(page.url()), 'the new instance');
    const second = await startedNumber(page);
    assert.notEqual(second, first);
    assert.equal(await inputsOf(second), stored?.replace('"Oslo"', '"Rome"'));
    const instance = await daemon.until(second, ['completed']);
    assert.deepEqual(instance.labels, { a: 'b' });
    assert.equal(instance.retry_of, JSON.parse(text).id);
    assertClean(page);
});

test('form and JSON are two views of the same', async t => {
    const page = await browser.page(t);
    await page.goto('/tasks/form/start');
    await page.getByLabel('count').fill('9007199254740993');
    await page.getByRole('button', { name: 'JSON' }).click();
    const json = page.getByLabel('Inputs as JSON');
    assert.match(await json.inputValue(), /"count": 9007199254740993/);
    await json.fill('{"name": "Bob", "count": 12345678901234567890123}');
    await page.getByRole('button', { name: 'Form' }).click();
    assert.equal(await page.getByLabel('count').inputValue(), '12345678901234567890123');
    await page.getByRole('button', { name: 'JSON' }).click();
    await json.fill('{"name": ');
    await page.getByRole('button', { name: 'Start' }).click();
    await page.getByText(/^ ?No JSON/).waitFor();
    assertClean(page);
});

/** The number that a line of the program prints for what it started. @param {string} line */
const numberOf = async line => Number(/\d+/.exec(await run(`${line} --output table`))?.[0]);

test('the copied line starts what the page shows', async t => {
    const page = await browser.page(t);
    const given = '{"s":"@/etc/hostname","t":"\\u0040/etc/hostname","n":"5","big":123456789012345678901234567890,"f":1.10,"quote":"it\'s \\"so\\"","a b":[1.0]}';
    for (const inputs of [given, given.replace('a b', 'ab')]) {
        const { number } = JSON.parse(await daemon.text('POST', '/v1/instances', `{"task_id":"ticks","inputs":${inputs}}`));
        await page.goto(`/tasks/ticks/start?from=${number}`);
        await page.locator('form.start').waitFor();
        const again = await numberOf(/** @type {string} */ (await eventually(() => copied(page, 'taskwright'), 'the line')));
        assert.equal(await inputsOf(again), await inputsOf(number));
        for (const one of [number, again]) await daemon.call('DELETE', `/v1/instances/${one}`);
    }
    await page.goto('/tasks/form/start');
    await page.locator('#in-47name').fill('@/etc/hostname');
    await page.getByLabel('count').fill('9007199254740993');
    await page.getByText('Options').click();
    await page.getByLabel('Labels').fill('customer:acme\nkind:a b');
    await page.getByLabel('Priority').fill('-5');
    await page.getByLabel('Delay').fill('2h');
    await page.getByLabel('Timeout of an attempt').fill('90');
    await page.getByLabel('Attempts').fill('3');
    const line = await eventually(async () => (await copied(page, 'taskwright'))?.includes('--max-attempts 3') && copied(page, 'taskwright'), 'the line');
    const number = await numberOf(line);
    const started = await daemon.call('GET', `/v1/instances/${number}`);
    assert.equal(started.inputs.name, '@/etc/hostname');
    assert.match((await inputsOf(number)) ?? '', /"count":9007199254740993[,}]/);
    assert.deepEqual([started.priority, started.timeout, started.max_attempts, started.labels], [-5, 90, 3, { customer: 'acme', kind: 'a b' }]);
    assert.ok(Date.parse(started.run_at) - Date.parse(started.created_at) >= 7_199_000, started.run_at);
    assertClean(page);
});

test('the copied line retries what the page shows, and there is none for what the program cannot say', async t => {
    const page = await browser.page(t);
    const inputs = '{"name":"Bob","count":2,"unknown":[1.0]}';
    const { number } = JSON.parse(await daemon.text('POST', '/v1/instances', `{"task_id":"form","inputs":${inputs}}`));
    await daemon.until(number, ['completed']);
    await page.goto(`/tasks/form/start?from=${number}`);
    await page.getByLabel('count').fill('9007199254740993');
    const again = await numberOf(await eventually(async () => (await copied(page, 'taskwright'))?.includes('count=') && copied(page, 'taskwright'), 'the line'));
    assert.equal((await daemon.call('GET', `/v1/instances/${again}`)).retry_of, (await daemon.call('GET', `/v1/instances/${number}`)).id);
    assert.match((await inputsOf(again)) ?? '', /"count":9007199254740993[,}]/);
    await page.getByText('Options').click();
    await page.getByLabel('Priority').fill('7');
    await eventually(async () => !(await copied(page, 'taskwright')), 'no line for an option');
    await page.getByLabel('Priority').fill('');
    await eventually(() => copied(page, 'taskwright'), 'the line again');
    await page.getByRole('button', { name: 'JSON' }).click();
    await page.getByLabel('Inputs as JSON').fill('{"name":"Bob","count":2,"unknown":[2.0]}');
    await eventually(async () => !(await copied(page, 'taskwright')), 'no line for an unknown input');
    await page.getByLabel('Inputs as JSON').fill('{"name":"Bob","unknown":[1.0]}');
    await eventually(async () => (await copied(page, 'curl'))?.includes('"name":"Bob","unknown"'), 'the new inputs');
    assert.equal(await copied(page, 'taskwright'), null, 'it cannot take an input away');
    assertClean(page);
});

test('JSON that the server cannot read is told at its field, and does not become a form', async t => {
    const page = await browser.page(t);
    await page.goto('/tasks/form/start');
    await page.getByRole('button', { name: 'JSON' }).click();
    const json = page.getByLabel('Inputs as JSON');
    for (const broken of ['{"name":"abc","count":5', '{"name":"abc","count":5,}', '{"name":"abc","count":05}', '{"name":"abc" "count":5}', '{"name":"abc","name":"abc"}', '{"where":{"zip":1,"zip":2}}', '[1]', '{} {}', '']) {
        await json.fill('{}');
        await page.getByRole('button', { name: 'Form', exact: true }).click();
        await json.waitFor({ state: 'detached' });
        await page.getByRole('button', { name: 'JSON' }).click();
        await json.fill(broken);
        await page.getByRole('button', { name: 'Form', exact: true }).click();
        await page.locator('#inputs-faults').waitFor();
        assert.equal(await json.inputValue(), broken);
        assert.equal(await json.getAttribute('aria-invalid'), 'true', broken);
    }
    assertClean(page);
});

test('what is left empty when it runs again says what holds then', async t => {
    const page = await browser.page(t);
    const { number } = await daemon.run('sleep', { seconds: 0 }, { priority: 5, timeout: 60, labels: { a: 'b' } });
    await page.goto(`/tasks/sleep/start?from=${number}`);
    await page.getByText('Options').click();
    for (const label of ['Priority', 'Timeout of an attempt', 'Labels']) await page.getByLabel(label).fill('');
    assert.equal(await page.getByLabel('Priority').getAttribute('placeholder'), '5 as before');
    assert.equal(await page.getByLabel('Timeout of an attempt').getAttribute('placeholder'), '60 as before');
    await page.getByRole('button', { name: 'Start' }).click();
    const kept = await daemon.call('GET', `/v1/instances/${await startedNumber(page)}`);
    assert.deepEqual([kept.priority, kept.timeout, kept.labels], [5, 60, {}]);
    await page.goto(`/tasks/sleep/start?from=${number}`);
    await page.getByText('Options').click();
    await page.getByLabel('Priority').fill('0');
    await page.getByRole('button', { name: 'Start' }).click();
    assert.equal((await daemon.call('GET', `/v1/instances/${await startedNumber(page)}`)).priority, 0);
    assertClean(page);
});

test('a year of five digits is told at its field', async t => {
    const page = await browser.page(t);
    await page.goto('/tasks/form/start');
    await page.locator('#in-47name').fill('Ada');
    await page.getByLabel('count').fill('1');
    const at = page.locator('#in-47at');
    await at.fill('12345-01-01T00:00');
    await page.getByRole('button', { name: 'Check' }).click();
    await page.locator('#in-47at-faults').waitFor();
    assert.match((await page.locator('#in-47at-hint').textContent()) ?? '', /in your time zone/);
    await at.fill('2040-01-01T00:00');
    await page.getByText('Options').click();
    const after = page.getByLabel('Not before');
    await after.fill('12345-01-01T00:00');
    await page.getByRole('button', { name: 'Check' }).click();
    await page.locator('#option-run_at-faults').waitFor();
    await after.fill('2040-01-01T00:00');
    await page.getByRole('button', { name: 'Check' }).click();
    await page.getByText('It would be accepted.').waitFor();
    assertClean(page, /status of 422/);
});

test('what is wrong with an element goes with it, and when it is corrected', async t => {
    const page = await browser.page(t);
    await page.goto('/tasks/form/start');
    await page.getByRole('button', { name: 'JSON' }).click();
    await page.getByLabel('Inputs as JSON').fill(JSON.stringify({ name: 'Ada', count: 1, tags: ['x', 'a', 'y', 'b'] }));
    await page.getByRole('button', { name: 'Form', exact: true }).click();
    // The server takes any text there: it is made to refuse two of them.
    await page.route('**/v1/instances?dry_run', route => route.fulfill({
        status: 422,
        contentType: 'application/problem+json',
        body: JSON.stringify({ type: 'about:blank', title: 'No', status: 422, detail: 'No', errors: [1, 3].map(at => ({ pointer: `/inputs/tags/${at}`, detail: `wrong at ${at}` })) }),
    }));
    await page.getByRole('button', { name: 'Check' }).click();
    await page.getByText('wrong at 3').waitFor();
    await page.getByRole('button', { name: 'Remove element 1 of tags' }).click();
    const wrong = () => page.locator('.element').evaluateAll(all => all.map(one => one.querySelector('.fault')?.textContent?.trim() ?? ''));
    await eventually(async () => JSON.stringify(await wrong()) === JSON.stringify(['wrong at 1', '', 'wrong at 3']), 'the faults go with their elements');
    const first = page.getByLabel('tags, element 1');
    await first.fill('');
    await first.pressSequentially('ab');
    assert.equal(await first.inputValue(), 'ab', 'the focus stays while one types');
    assert.deepEqual(await wrong(), ['', '', 'wrong at 3']);
    await page.getByRole('button', { name: 'Remove element 3 of tags' }).click();
    await eventually(async () => (await wrong()).every(one => one === ''), 'no fault is left');
    assertClean(page, /status of 422/);
});

test('what a task takes is shown as the server has it, and its lines start it', async t => {
    const page = await browser.page(t);
    await page.goto('/tasks/strict');
    const table = page.locator('table.schema').first();
    for (const note of ['≥ 9007199254740993', '≤ 9007199254740995', '4 or more characters', 'at most 6 characters', '2 or more items', 'default 1.0']) {
        await table.getByText(note, { exact: true }).waitFor();
    }
    const lines = await page.locator('main .line code').allTextContents();
    assert.equal(lines.length, 3);
    for (const line of lines) await run(line);
    const { instances } = await daemon.call('GET', '/v1/instances?task_id=strict');
    assert.equal(instances.length, 3);
    for (const one of instances) assert.match((await inputsOf(one.number)) ?? '', /"big":9007199254740993[,}]/);
    await page.goto('/tasks/strict/start');
    await page.getByText('4 or more characters').waitFor();
    assertClean(page);
});
