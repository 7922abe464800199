// What moves without a reload, what is stopped, and what happens while the daemon is away.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventually } from './harness/browser.js';
import { assertClean, suite } from './harness/suite.js';

const { daemon, browser } = await suite();

/** What Chromium says of requests that a dead daemon did not answer. */
const AWAY = /net::ERR_|Failed to load resource/;

test('progress moves without a reload', async t => {
    const page = await browser.page(t);
    const { number } = await daemon.start('ticks');
    await daemon.until(number, ['running']);
    await page.goto(`/instances/${number}`);
    await page.locator('.connection.live').waitFor();
    const loads = page.requested.filter(url => url.endsWith(`/instances/${number}`) && !url.includes('/v1/')).length;
    await daemon.call('PUT', `/v1/instances/${number}/progress`, { progress: 0.25, message: 'a quarter' });
    await page.getByText('a quarter').waitFor();
    await page.getByText('25 %').waitFor();
    await daemon.call('PUT', `/v1/instances/${number}/progress`, { progress: 0.75, message: 'most of it' });
    await page.getByText('75 %').waitFor();
    assert.equal(await page.getByRole('progressbar', { name: 'Progress' }).evaluate(bar => /** @type {HTMLProgressElement} */ (bar).value), 0.75);
    await page.getByText('Left, about').waitFor();
    await daemon.call('PUT', `/v1/instances/${number}/output`, { big: 9007199254740993 });
    await page.getByLabel('Output').getByText('"big"').first().waitFor();
    await daemon.call('DELETE', `/v1/instances/${number}?force`);
    await page.locator('.now .status.cancelled').waitFor();
    assert.equal(page.requested.filter(url => url.endsWith(`/instances/${number}`) && !url.includes('/v1/')).length, loads);
    assertClean(page);
});

test('lists and counts move without a reload', async t => {
    const page = await browser.page(t);
    await page.goto('/instances?status=running');
    await page.locator('.connection.live').waitFor();
    const { number } = await daemon.start('sleep', { seconds: 3600 });
    await page.getByRole('link', { name: String(number), exact: true }).waitFor();
    await daemon.call('DELETE', `/v1/instances/${number}?force`);
    await page.getByRole('link', { name: String(number), exact: true }).waitFor({ state: 'detached' });
    assertClean(page);
});

test('a task is stopped, with the grace that was given', async t => {
    const page = await browser.page(t);
    const { number } = await daemon.start('stubborn');
    await daemon.until(number, ['running']);
    await page.goto(`/instances/${number}`);
    await page.getByText('ready').waitFor();
    await page.getByRole('button', { name: 'Stop', exact: true }).click();
    await page.getByLabel('Grace').fill('1h');
    await page.getByRole('dialog').getByRole('button', { name: 'Stop', exact: true }).click();
    await page.getByText(/Asked to stop; it has (59 m|1 h)/).waitFor();
    assert.equal(await daemon.status(number), 'running');
    assert.equal(await page.getByRole('button', { name: 'Stop', exact: true }).count(), 0);

    await page.getByRole('button', { name: 'Stop now' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Stop now' }).click();
    await page.locator('.now .status.cancelled').waitFor();
    assert.equal(await daemon.status(number), 'cancelled');
    await page.getByRole('button', { name: 'Retry' }).click();
    await page.waitForURL(url => !url.pathname.endsWith(`/${number}`));
    const again = Number(new URL(page.url()).pathname.split('/').pop());
    assert.equal((await daemon.call('GET', `/v1/instances/${again}`)).task_id, 'stubborn');
    await daemon.call('DELETE', `/v1/instances/${again}?force`);
    assertClean(page);
});

test('what a stop is refused for is told where it was asked', async t => {
    const page = await browser.page(t);
    const { number } = await daemon.start('sleep', { seconds: 3600 });
    await page.goto(`/instances/${number}`);
    await page.getByRole('button', { name: 'Stop', exact: true }).click();
    await page.getByLabel('Grace').fill('2 weeks');
    await page.getByRole('dialog').getByRole('button', { name: 'Stop', exact: true }).click();
    await page.getByRole('alert').getByText('2 weeks').first().waitFor();
    assert.equal(await daemon.status(number), 'running');
    await daemon.call('DELETE', `/v1/instances/${number}?force`);
    assertClean(page, /status of 4\d\d/);
});

test('after kill -9 a banner, then live again with nothing missing', async t => {
    const page = await browser.page(t);
    const log = await browser.page(t);
    const { number } = await daemon.start('ticks', {}, { max_attempts: 5 });
    await daemon.until(number, ['running']);
    await page.goto('/instances');
    await log.goto(`/instances/${number}/logs`);
    await page.locator('.connection.live').waitFor();
    await log.getByText('tick 3').first().waitFor();

    await daemon.kill();
    await page.getByText('The daemon does not answer.').first().waitFor();
    await log.getByText('The daemon does not answer.').first().waitFor();
    assert.equal(await page.locator('main.stale').count(), 1);

    await daemon.restart();
    const made = await Promise.all([1, 2, 3].map(() => daemon.run('sleep', { seconds: 0 })));
    await page.getByText('The daemon does not answer.').first().waitFor({ state: 'detached' });
    await log.getByText('The daemon does not answer.').first().waitFor({ state: 'detached' });
    for (const one of made) await page.getByRole('link', { name: String(one.number), exact: true }).waitFor();
    const later = await daemon.run('sleep', { seconds: 0 });
    await page.getByRole('link', { name: String(later.number), exact: true }).waitFor();
    assert.equal(await page.locator('main.stale').count(), 0);

    // The second attempt's lines come too, and each line of the log is there once.
    await log.locator('.ln.turn').waitFor();
    await daemon.call('DELETE', `/v1/instances/${number}?force`);
    await log.getByText('Complete').waitFor();
    const { lines } = await daemon.call('GET', `/v1/instances/${number}/logs?limit=10000`);
    const shown = await log.locator('.ln').evaluateAll(all => all.map(one => Number(/** @type {HTMLElement} */ (one).dataset.n)));
    assert.deepEqual(shown, lines.map((/** @type {any} */ line) => line.seq));
    assertClean(page, AWAY);
    assertClean(log, AWAY);
});

test('seven tabs are open, and the seventh loads and is live', async t => {
    const context = await browser.context();
    const { number } = await daemon.start('ticks');
    // To the browser all of them are seen: none has closed its stream because it is hidden.
    const paths = ['/', '/instances', `/instances/${number}`, `/instances/${number}/logs`, `/instances/${number}/logs`, '/tasks', '/instances'];
    const pages = [];
    for (const path of paths) {
        const page = await browser.tab(context);
        await page.goto(path);
        await page.locator('h1').waitFor();
        await page.locator('.connection.live').waitFor();
        pages.push(page);
    }
    const streams = pages.flatMap(page => page.requested).filter(url => url.includes('/v1/events'));
    assert.ok(streams.length > 0, 'the feed was read');
    const made = await daemon.run('sleep', { seconds: 0 });
    for (const at of [1, 6]) await pages[at].getByRole('link', { name: String(made.number), exact: true }).waitFor();
    for (const at of [3, 4]) await pages[at].getByText('tick').last().waitFor();
    // The one that reads the feed goes; another takes its place.
    await pages[0].close();
    const next = await daemon.run('sleep', { seconds: 0 });
    for (const at of [1, 6]) await pages[at].getByRole('link', { name: String(next.number), exact: true }).waitFor();
    pages.forEach(page => assertClean(page));
    await daemon.call('DELETE', `/v1/instances/${number}?force`);
});

test('a hidden tab has no stream, and is up to date when it is seen again', async t => {
    const page = await browser.page(t);
    await page.goto('/instances?task_id=sleep');
    await page.locator('.connection.live').waitFor();
    const hide = (/** @type {boolean} */ hidden) => page.evaluate(hidden => {
        Object.defineProperty(document, 'hidden', { configurable: true, value: hidden });
        document.dispatchEvent(new Event('visibilitychange'));
    }, hidden);
    const ended = page.waitForEvent('requestfailed', request => request.url().includes('/v1/events'));
    await hide(true);
    await ended;
    const made = await daemon.run('sleep', { seconds: 0 });
    const resumed = page.waitForRequest(request => request.url().includes('/v1/events?after='));
    await hide(false);
    await resumed;
    await page.getByRole('link', { name: String(made.number), exact: true }).waitFor();
    await eventually(() => page.locator('.connection.live').count(), 'live again');
    assertClean(page);
});

test('a page whose script could not be fetched comes when the daemon is back', async t => {
    const page = await browser.page(t, {});
    await page.goto('/instances');
    await page.locator('.connection.live').waitFor();
    await daemon.kill();
    await page.getByText('The daemon does not answer.').first().waitFor();
    await page.keyboard.press('g');
    await page.keyboard.press('t');
    await page.getByRole('alert').getByText('This could not be fetched.').waitFor();
    await daemon.restart();
    await page.locator('table.tasks').waitFor();
    assertClean(page, AWAY);
});
