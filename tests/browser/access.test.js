// Who may do what, and with what hands.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventually } from './harness/browser.js';
import { assertClean, suite } from './harness/suite.js';

const READ = `tw_${'r'.repeat(43)}`;
const RUN = `tw_${'x'.repeat(43)}`;
const open = await suite();
const closed = await suite({ tokens: { [READ]: 'read', [RUN]: 'run' } });
closed.daemon.token = RUN;

/** Chromium's word for an answer that asks for a token. */
const ASKED = /status of 401/;

test('with a token that may read only there is no button to stop or start', async t => {
    const { number } = await closed.daemon.start('sleep', { seconds: 3600 });
    const done = await closed.daemon.run('sleep', { seconds: 0 });
    const page = await closed.browser.page(t, {});
    await page.goto(`/instances/${number}`);
    await page.waitForURL(/\/login\?next=/);
    await page.getByLabel('Token').fill('tw_wrong');
    await page.keyboard.press('Enter');
    await page.getByRole('alert').waitFor();
    await page.getByLabel('Token').fill(READ);
    await page.keyboard.press('Enter');
    await page.waitForURL(new RegExp(`/instances/${number}$`));
    await page.locator('.now .status.running').waitFor();
    for (const [path, whole] of [[`/instances/${number}`, '.now'], [`/instances/${done.number}`, '.now'], ['/instances', 'table.instances'], ['/', '.tiles'], ['/tasks', 'table.tasks'], ['/tasks/sleep', 'table.schema']]) {
        await page.goto(path);
        await page.locator(whole).first().waitFor();
        // From then on it is known what we may do, and drawn.
        await page.waitForFunction(() => performance.getEntriesByType('resource').some(one =>
            one.name.endsWith('/v1/system') && /** @type {PerformanceResourceTiming} */ (one).responseEnd > 0));
        await page.evaluate(() => new Promise(drawn => requestAnimationFrame(() => requestAnimationFrame(drawn))));
        const buttons = await page.locator('main').getByRole('button', { name: /^(stop|start|retry|cancel)\b/i }).count();
        const links = await page.locator('main').getByRole('link', { name: /^(start|run again)/i }).count();
        assert.equal(buttons + links, 0, path);
    }
    await page.goto('/tasks/sleep/start');
    await page.getByText('Your token may read only').waitFor();
    const cookie = (await page.context().cookies())[0];
    assert.ok(cookie.httpOnly && cookie.sameSite === 'Strict', JSON.stringify(cookie));
    assert.equal(await page.evaluate(() => document.cookie), '');
    assertClean(page, ASKED);

    const other = await closed.browser.page(t, {});
    await other.goto(`/login?next=/instances/${number}`);
    await other.getByLabel('Token').fill(RUN);
    await other.getByRole('button', { name: 'Log in' }).click();
    await other.getByRole('button', { name: 'Stop', exact: true }).waitFor();
    assertClean(other, ASKED);
});

test('after a login only an address of ours is gone to', async t => {
    const host = 'evil.example';
    const evil = ['/%09/', '/%0A/', '/%0D/', '/%5C', '%5C%5C', '//', '/.//', '%09//', 'https://', 'javascript:location=%27//'].map(before => `${before}${host}/x`);
    for (const next of evil) {
        const page = await closed.browser.page(t, {});
        await page.goto(`/login?next=${next}`);
        await page.getByLabel('Token').fill(READ);
        await page.keyboard.press('Enter');
        await page.waitForURL(url => url.pathname !== '/login');
        assert.equal(new URL(page.url()).origin, closed.daemon.url, next);
        assertClean(page, /status of 40[14]/);
        await page.close();
    }
});

/** The keys of a page, and what has the focus. @param {import('./harness/browser.js').WatchedPage} page */
function keyboard(page) {
    const press = async (/** @type {string[]} */ ...keys) => {
        for (const key of keys) await page.keyboard.press(key);
    };
    const focused = () => page.evaluate(() => document.activeElement?.tagName ?? '');
    /** That a page is there and has taken the focus, which it does once. @param {string} name */
    const arrived = async name => {
        await page.getByRole('heading', { level: 1, name, exact: true }).waitFor();
        await eventually(async () => (await focused()) === 'H1', `the focus is on the heading ${name}`);
    };
    return { press, focused, arrived };
}

test('all of it by keyboard', async t => {
    const { daemon, browser } = open;
    const { number } = await daemon.start('sleep', { seconds: 3600 });
    const page = await browser.page(t, {});
    await page.goto('/');
    await page.locator('.connection.live').waitFor();
    const { press, focused, arrived } = keyboard(page);

    await press('g', 'i');
    await page.waitForURL(/\/instances$/);
    await arrived('Instances');
    await press('/');
    await page.keyboard.type('sleep');
    await press('Enter');
    await page.waitForURL(/task_id=sleep/);
    await page.evaluate(() => /** @type {HTMLElement} */ (document.activeElement).blur());
    await page.locator('table.instances tbody tr').waitFor();
    await press('j', 'x');
    await page.getByText('1 instance selected').waitFor();
    await press('x', 'Enter');
    await page.waitForURL(new RegExp(`/instances/${number}$`));
    await page.getByRole('button', { name: 'Stop', exact: true }).waitFor();
    await press('s');
    await page.getByRole('dialog').waitFor();
    await page.getByRole('dialog').getByRole('button', { name: 'Stop' }).focus();
    await press('Enter');
    await page.locator('.now .status.cancelled').waitFor();
    await press('r');
    await page.waitForURL(url => !url.pathname.endsWith(`/${number}`));
    const again = Number(new URL(page.url()).pathname.split('/').pop());
    await daemon.call('DELETE', `/v1/instances/${again}?force`);

    await press('g', 't');
    await page.waitForURL(/\/tasks$/);
    await arrived('Tasks');
    await page.getByRole('link', { name: 'sleep', exact: true }).focus();
    await press('Enter');
    await page.waitForURL(/\/tasks\/sleep$/);
    await page.locator('table.schema').first().waitFor();
    await press('n');
    await page.waitForURL(/\/start$/);
    await arrived('Start sleep');
    await page.getByLabel('seconds').waitFor();
    for (let tabs = 0; tabs < 12 && (await focused()) !== 'INPUT'; tabs++) await press('Tab');
    await page.keyboard.type('0');
    await press('Enter');
    await page.waitForURL(/\/instances\/\d+$/);
    await page.locator('.now .status.completed').waitFor();

    // The keys can be switched off.
    await press('?');
    const dialog = page.getByRole('dialog');
    await dialog.waitFor();
    await dialog.getByRole('checkbox').uncheck();
    await press('Escape');
    await dialog.waitFor({ state: 'detached' }).catch(() => dialog.waitFor({ state: 'hidden' }));
    const here = page.url();
    await press('g', 'i');
    await page.getByRole('link', { name: 'Tasks', exact: true }).first().focus();
    await press('Enter');
    await page.waitForURL(/\/tasks$/);
    assert.notEqual(page.url(), here);
    assertClean(page);
});

test('a key does not wait for an answer that is on its way', async t => {
    const { daemon, browser } = open;
    const { number } = await daemon.start('sleep', { seconds: 3600 });
    const page = await browser.page(t, {});
    const { press, arrived } = keyboard(page);
    await page.goto('/');
    await page.locator('.connection.live').waitFor();
    /** Answers nothing until the returned function is called. @param {string} method @param {string} address */
    const hold = async (method, address) => {
        /** @type {() => void} */ let release = () => {};
        const released = new Promise(resolve => (release = () => resolve(undefined)));
        await page.route(address, async route => {
            if (route.request().method() !== method) return route.fallback();
            const response = await route.fetch();
            await released;
            await route.fulfill({ response });
        });
        return release;
    };

    // A filter by a task, while it is not known which there are.
    const tasks = await hold('GET', '**/v1/definitions');
    await press('g', 'i');
    await arrived('Instances');
    await press('/');
    await page.keyboard.type('sleep');
    await press('Enter');
    await page.waitForURL(/task_id=sleep/);
    tasks();

    // A retry of what the feed says has ended, before the stop was answered.
    const stop = await hold('DELETE', '**/v1/instances/*');
    await page.goto(`/instances/${number}`);
    await page.getByRole('button', { name: 'Stop', exact: true }).waitFor();
    await press('s');
    await page.getByRole('dialog').waitFor();
    await press('Enter');
    await page.locator('.now .status.cancelled').waitFor();
    await press('r');
    await page.waitForURL(url => url.pathname.startsWith('/instances/') && !url.pathname.endsWith(`/${number}`));
    stop();
    await daemon.call('DELETE', `/v1/instances/${new URL(page.url()).pathname.split('/').pop()}?force`);
    assertClean(page);
});

test('every view can be copied as a line for a shell', async t => {
    const { daemon, browser } = open;
    const { number } = await daemon.run('sleep', { seconds: 0 });
    const page = await browser.page(t);
    /** @type {[string, string, RegExp, RegExp][]} */
    const views = [
        ['/', '.tiles', /^curl .*\/v1\/stats/, /^taskwright ps --url http:\S+$/],
        ['/instances?status=failed&label=a:b', '.empty', /^curl .*\/v1\/instances\?status=failed&label=a(:|%3A)b'?$/, /^taskwright ps --status failed --label a:b --url http:\S+$/],
        [`/instances/${number}`, '.now', new RegExp(`^curl .*/v1/instances/${number}$`), new RegExp(`^taskwright status ${number} --url http:\\S+$`)],
        [`/instances/${number}/logs`, '.logbox', new RegExp(`^curl .*/v1/instances/${number}/logs`), new RegExp(`^taskwright logs ${number} -f --url http:\\S+$`)],
        ['/tasks/sleep', 'table.schema', /^curl .*\/v1\/definitions\/sleep$/, /^taskwright tasks sleep --url http:\S+$/],
        ['/tasks/sleep/start', 'form.start', /^curl .*--json '\{"task_id":"sleep","inputs":\{\}\}' .*\/v1\/instances$/, /^taskwright start sleep --url http:\S+$/],
    ];
    for (const [path, whole, curl, cli] of views) {
        await page.goto(path);
        await page.locator(whole).first().waitFor();
        await page.getByRole('button', { name: 'Copy as' }).click();
        const lines = await page.locator('#copy-as code').allTextContents();
        assert.match(lines[0], curl, path);
        assert.match(lines[1], cli, path);
    }
    assertClean(page);
});
