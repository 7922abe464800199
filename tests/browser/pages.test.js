// What holds on every page: nothing in the console, nothing against the policy, nothing from elsewhere, nothing that
// axe-core finds, nothing that sticks out of a small screen.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { test } from 'node:test';
import { REPOSITORY } from './harness/daemon.js';
import { run } from './harness/shell.js';
import { assertClean, suite } from './harness/suite.js';

const { daemon, browser } = await suite();

const failed = await daemon.run('fails', {}, { labels: { customer: 'acme' } });
const talked = await daemon.run('talk', { lines: 300 });
const formed = await daemon.run('form', { name: 'Ada', count: 3, tags: ['a'], where: { city: 'Paris' } });
const running = await daemon.start('sleep', { seconds: 3600 });
await daemon.start('sleep', { seconds: 1 }, { delay: '1d' });
await daemon.until(running.number, ['running']);

test('an empty store shows how to begin', async t => {
    const empty = await suite();
    const page = await empty.browser.page(t);
    await page.goto('/');
    await page.getByText('Nothing has run here yet').waitFor();
    await page.getByRole('link', { name: /^Start / }).first().waitFor();
    assertClean(page);
});

test('the first line to try is answered, also where a token is asked for', async t => {
    const token = `tw_${'q'.repeat(43)}`;
    const closed = await suite({ tokens: { [token]: 'run' } });
    const page = await closed.browser.page(t);
    await page.goto('/login');
    await page.getByLabel('Token').fill(token);
    await page.keyboard.press('Enter');
    await page.getByText('Nothing has run here yet').waitFor();
    const lines = await page.locator('.quick code').allTextContents();
    assert.equal(lines.length, 2);
    for (const line of lines) await run(line, { TASKWRIGHT_TOKEN: token });
    closed.daemon.token = token;
    const { instances } = await closed.daemon.call('GET', '/v1/instances');
    assert.equal(instances.length, 2);
    assertClean(page, /status of 401/);
});

/** Each page: its path, and what is there once it is whole. @type {[string, string][]} */
const PAGES = [
    ['/', '.tiles'],
    ['/instances', 'table.instances'],
    ['/instances?status=failed&label=customer:acme', 'table.instances'],
    ['/instances?task_id=checksum', '.empty'],
    [`/instances/${failed.number}`, '.failure'],
    [`/instances/${talked.number}`, '.ln'],
    [`/instances/${formed.number}`, '.json'],
    [`/instances/${running.number}`, 'progress'],
    ['/instances/999999', '.problem'],
    [`/instances/${talked.number}/logs`, '.ln'],
    [`/instances/${talked.number}/logs#L120-L130`, '.ln.marked'],
    ['/tasks', 'table.tasks'],
    ['/tasks/form', 'table.schema'],
    ['/tasks/form/start', 'form.start'],
    [`/tasks/talk/start?from=${talked.number}`, 'form.start'],
    ['/tasks/ticks/start', 'form.start'],
    ['/system', 'table'],
    ['/login', '#token'],
];

/** What Chromium says of an answer that is no success; the one page that asks for a missing instance earns it. */
const MISSING = /404.*999999/;

/** @param {import('playwright-core').Page} page @param {string} path @param {string} whole */
async function open(page, path, whole) {
    await page.goto(path);
    await page.locator(whole).first().waitFor();
    await page.locator('h1').waitFor();
}

test('no page has an error, a violation of the policy or a request to elsewhere', async t => {
    const page = await browser.page(t);
    const titles = new Set();
    for (const [path, whole] of PAGES) {
        await open(page, path, whole);
        assert.match(await page.title(), / · Taskwright$/, path);
        titles.add(await page.title());
        assert.equal(await page.locator('h1').count(), 1, path);
    }
    assert.ok(titles.size >= PAGES.length - 3, `each page names the document: ${[...titles]}`);
    assertClean(page, MISSING);
});

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
/** What axe-core finds. @param {import('playwright-core').Page} page @param {object} [options] @returns {Promise<string[]>} */
const violations = (page, options = {}) => page.evaluate(async options => {
    const found = await /** @type {any} */ (globalThis).axe.run(document, { resultTypes: ['violations'], ...options });
    return found.violations.map((/** @type {any} */ one) => `${one.id}: ${one.nodes.map((/** @type {any} */ node) => `${node.html} (${node.failureSummary})`).join(' ')}`);
}, options);

test('axe-core finds nothing on any page, light and dark', async t => {
    // The policy of the page does not let a tool of the test in.
    const page = await browser.page(t, { bypassCSP: true });
    for (const [path, whole] of PAGES) {
        await page.emulateMedia({ colorScheme: 'light' });
        await open(page, path, whole);
        await page.evaluate(axe);
        assert.deepEqual(await violations(page), [], `${path}, light`);
        // The scheme changes colours, and nothing else.
        await page.emulateMedia({ colorScheme: 'dark' });
        assert.deepEqual(await violations(page, { runOnly: ['color-contrast', 'link-in-text-block'] }), [], `${path}, dark`);
    }
});

test('no page is wider than 320 px', async t => {
    const page = await browser.page(t, { viewport: { width: 320, height: 640 } });
    for (const [path, whole] of PAGES) {
        await open(page, path, whole);
        const width = await page.evaluate(() => document.documentElement.scrollWidth);
        assert.ok(width <= 320, `${path} is ${width} px wide`);
    }
});

test('a page is at most 45 KB over the wire, compressed', async t => {
    for (const [path, whole] of PAGES) {
        const page = await browser.page(t, {});
        await open(page, path, whole);
        const files = await page.evaluate(() =>
            [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]
                .map(one => /** @type {PerformanceResourceTiming} */ (one))
                .filter(one => !one.name.includes('/v1/'))
                .map(one => ({ name: new URL(one.name).pathname, bytes: one.encodedBodySize, whole: one.decodedBodySize })),
        );
        const bytes = files.reduce((sum, one) => sum + one.bytes, 0);
        assert.ok(files.filter(one => one.name.endsWith('.js')).length > 15, `${path}: its modules were seen`);
        for (const { name, bytes, whole } of files) if (name.includes('/assets/') && whole > 1000) assert.ok(bytes < whole, `${name} is compressed`);
        assert.ok(bytes <= 45 * 1024, `${path} takes ${bytes} bytes: ${files.map(one => `\n${one.bytes} ${one.name}`)}`);
    }
});

test('the vendored files are as they were published', () => {
    const folder = join(REPOSITORY, 'src/http/dashboard/assets/vendor');
    const sums = readFileSync(join(folder, 'VENDORED'), 'utf8').split('\n').filter(line => /^[0-9a-f]{64} /.test(line));
    assert.equal(sums.length, 6);
    for (const line of sums) {
        const [sum, file] = line.split(/\s+/);
        assert.equal(createHash('sha256').update(readFileSync(join(folder, file))).digest('hex'), sum, file);
    }
});
