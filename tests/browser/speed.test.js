// With 100,000 instances in the store. Each time is the best of several: what else this machine does is not measured.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertClean, suite } from './harness/suite.js';

const { daemon, browser } = await suite();
const BATCH = 10_000;
for (let batch = 0; batch < 10; batch++) {
    const item = { task_id: 'sleep', inputs: { seconds: 0 }, delay: '1d', labels: { batch: String(batch) } };
    await daemon.call('POST', '/v1/instances/batch', { instances: Array(BATCH).fill(item) });
}
await daemon.call('POST', '/v1/instances/stop', { labels: { batch: '3' } });
await daemon.run('fails');

/** @param {() => Promise<number>} measure @param {number} times */
async function best(measure, times = 7) {
    const all = [];
    for (let i = 0; i < times; i++) all.push(await measure());
    return Math.min(...all);
}

test('a page is painted within 200 ms', async t => {
    const page = await browser.page(t);
    // The scripts are kept by the browser, as they are for whoever comes a second time.
    await page.goto('/');
    await page.locator('.tiles').waitFor();
    for (const path of ['/', '/instances', '/instances?status=cancelled']) {
        const painted = await best(async () => {
            await page.goto(path);
            await page.locator('h1').waitFor();
            return page.evaluate(() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? Infinity);
        });
        assert.ok(painted < 200, `${path}: ${Math.round(painted)} ms`);
    }
    assertClean(page);
});

test('a list is shown within 100 ms of a filter', async t => {
    const page = await browser.page(t);
    await page.goto('/instances');
    await page.locator('table.instances tbody tr').first().waitFor();
    /** From the click to the first row of the new list, within the page. @param {string} name @param {string} status */
    const filtered = (name, status) => page.evaluate(async ([name, status]) => {
        const button = /** @type {HTMLElement} */ ([...document.querySelectorAll('.toggles button')].find(one => one.textContent?.startsWith(name)));
        const began = performance.now();
        button.click();
        while (!document.querySelector(`table.instances tbody tr:first-child .status.${status}`)) await new Promise(requestAnimationFrame);
        return performance.now() - began;
    }, [name, status]);
    const took = await best(async () => {
        const on = await filtered('cancelled', 'cancelled');
        await page.getByRole('group', { name: 'Status' }).getByRole('button', { name: /cancelled/i }).click();
        await page.locator('table.instances tbody tr:first-child .status.failed').waitFor();
        return on;
    });
    assert.ok(took < 100, `${Math.round(took)} ms`);
    const byLabel = await best(async () => {
        const began = performance.now();
        const { instances } = await daemon.call('GET', '/v1/instances?label=batch:5&status=pending&limit=50');
        assert.equal(instances.length, 50);
        return performance.now() - began;
    });
    assert.ok(byLabel < 100, `${Math.round(byLabel)} ms by a label`);
    assertClean(page);
});
