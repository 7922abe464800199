// Lists: their filters are their address, and what is done with many at once.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventually } from './harness/browser.js';
import { copied } from './harness/shell.js';
import { assertClean, suite } from './harness/suite.js';

const { daemon, browser } = await suite();
const one = await daemon.run('sleep', { seconds: 0 }, { labels: { customer: 'acme' } });
const other = await daemon.run('sleep', { seconds: 0 }, { labels: { customer: 'other' } });
const failed = await daemon.run('fails', {}, { labels: { customer: 'acme' } });

/** The numbers of the instances in the list. @param {import('playwright-core').Page} page */
const shown = page => page.locator('table.instances tbody a').evaluateAll(all =>
    all.map(link => link.textContent ?? '').filter(text => /^\d+$/.test(text)).map(Number));
/** @param {import('playwright-core').Page} page @param {number[]} numbers */
const lists = (page, numbers) => eventually(async () => JSON.stringify(await shown(page)) === JSON.stringify(numbers), `the list has ${numbers}`);

test('filters are in the address, and survive reload and Back', async t => {
    const page = await browser.page(t);
    await page.goto('/instances');
    await lists(page, [failed.number, other.number, one.number]);
    const box = page.getByLabel(/Add a filter/);
    await box.fill('customer:acme');
    await page.keyboard.press('Enter');
    await lists(page, [failed.number, one.number]);
    await page.getByRole('group', { name: 'Status' }).getByRole('button', { name: /failed/i }).click();
    await lists(page, [failed.number]);
    const { pathname, search } = new URL(page.url());
    assert.equal(pathname, '/instances');
    // The address is the API's own call.
    const { instances } = await daemon.call('GET', `/v1${pathname}${search}`);
    assert.deepEqual(instances.map((/** @type {any} */ each) => each.number), [failed.number]);

    await page.reload();
    await lists(page, [failed.number]);
    await page.getByRole('button', { name: 'Remove customer:acme' }).waitFor();
    await page.getByRole('link', { name: String(failed.number), exact: true }).click();
    await page.locator('.failure').waitFor();
    await page.goBack();
    await lists(page, [failed.number]);
    await page.goBack();
    await lists(page, [failed.number, one.number]);
    await page.getByRole('button', { name: 'Remove customer:acme' }).click();
    await lists(page, [failed.number, other.number, one.number]);
    assertClean(page);
});

test('two hundred are stopped at once', async t => {
    const page = await browser.page(t);
    const items = Array.from({ length: 200 }, () => ({ task_id: 'sleep', inputs: { seconds: 3600 }, labels: { many: 'yes' } }));
    await daemon.call('POST', '/v1/instances/batch', { instances: items });
    await page.goto('/instances?label=many:yes');
    await page.getByLabel('Select all that are shown').check();
    await page.getByRole('button', { name: 'Select all that match' }).click();
    await page.getByRole('button', { name: 'Stop', exact: true }).click();
    await page.getByRole('dialog').getByRole('button', { name: /^Stop/ }).click();
    await page.getByText(/200 instances asked to stop/).waitFor();
    await eventually(async () => (await daemon.call('GET', '/v1/instances?label=many:yes&status=running,pending')).instances.length === 0, 'all of them ended');
    const { instances } = await daemon.call('GET', '/v1/instances?label=many:yes&status=cancelled&limit=500');
    assert.equal(instances.length, 200);
    await eventually(async () => (await page.locator('table.instances .status.running').count()) === 0, 'the list shows it');
    assertClean(page);
});

test('those that are selected are retried, and no others', async t => {
    const page = await browser.page(t);
    await page.goto('/instances?label=customer:acme');
    await page.getByLabel(`Select ${failed.number}`).check();
    await page.getByRole('button', { name: 'Retry' }).click();
    await page.getByRole('dialog').getByRole('button', { name: /^Retry/ }).click();
    await page.getByText(/1 instance started again/).waitFor();
    await eventually(async () => (await daemon.call('GET', '/v1/instances?task_id=fails')).instances.length === 2, 'the retry');
    assert.equal((await daemon.call('GET', '/v1/instances?label=customer:acme')).instances.length, 3);
    assertClean(page);
});

test('new ones wait while the reader has scrolled', async t => {
    const page = await browser.page(t, { viewport: { width: 1280, height: 400 } });
    await daemon.call('POST', '/v1/instances/batch', { instances: Array.from({ length: 60 }, () => ({ task_id: 'sleep', inputs: { seconds: 0 }, labels: { row: 'yes' } })) });
    await page.goto('/instances?label=row:yes');
    await page.locator('.connection.live').waitFor();
    await eventually(async () => (await shown(page)).length === 50, 'a page of them');
    const [before] = await shown(page);
    await page.mouse.wheel(0, 200);
    await page.waitForFunction(() => scrollY > 100);
    const made = await daemon.run('sleep', { seconds: 0 }, { labels: { row: 'yes' } });
    await page.getByRole('button', { name: '1 new' }).click();
    await eventually(async () => (await shown(page))[0] === made.number, 'the new one on top');
    assert.ok(made.number > before);
    assertClean(page);
});

test('the address is heeded, and what is not heeded is told', async t => {
    const page = await browser.page(t);
    await page.goto('/instances?label=toString');
    await page.locator('.empty').waitFor();
    const late = await daemon.run('sleep', { seconds: 0 });
    await page.goto('/instances?label=toString');
    await daemon.run('sleep', { seconds: 0 }, { labels: { toString: 'x' } });
    await eventually(async () => (await shown(page)).length === 1, 'the one that has the label');
    assert.ok(!(await shown(page)).includes(late.number));
    await page.goto('/instances?limit=2&task=sleep&label=customer');
    await eventually(async () => (await shown(page)).length === 2, 'two of them');
    await page.getByText('This list does not heed task of the address').waitFor();
    assert.match((await copied(page, 'curl')) ?? '', /label=customer&limit=2/);
    assert.match((await copied(page, 'taskwright')) ?? '', / --label customer -n 2 /);
    await page.goto('/instances?created_before=-1ms');
    await page.locator('table.instances').waitFor();
    assert.equal(await copied(page, 'taskwright'), null, 'ps has no such flag');
    await page.goto('/system');
    await page.getByRole('link', { name: 'contract' }).waitFor();
    assert.match((await copied(page, 'taskwright')) ?? '', /^taskwright api GET \/v1\/system /);
    assertClean(page);
});
