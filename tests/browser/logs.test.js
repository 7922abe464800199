// Long logs, which freeze other dashboards: only a part is in the page, and the rest comes as the reader moves.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { eventually } from './harness/browser.js';
import { assertClean, suite } from './harness/suite.js';

const { daemon, browser } = await suite();
const LINES = 100_000;
/** With the two that `talk` prints first. */
const ALL = LINES + 2;
const long = (await daemon.run('talk', { lines: LINES })).number;

/** The numbers of the lines in the page. @param {import('playwright-core').Page} page */
const numbers = page => page.locator('.ln').evaluateAll(all => all.map(one => Number(/** @type {HTMLElement} */ (one).dataset.n)));
/** Everything, texts too. @param {import('playwright-core').Page} page */
const nodes = page => page.evaluate(() => {
    const walker = document.createTreeWalker(document);
    let count = 1;
    while (walker.nextNode()) count += 1;
    return count;
});
/** Whether the numbers have no hole. @param {number[]} all */
const whole = all => all.every((n, at) => at === 0 || n === all[at - 1] + 1);

for (const path of ['logs', '']) {
    test(`a log of 100,000 lines opens in less than 2 s with less than 6,000 nodes, at /${path}`, async t => {
        const page = await browser.page(t);
        // What is measured is the log, not the first fetch of the scripts from a debug build.
        await page.goto('/instances');
        await page.locator('table').waitFor();
        const began = Date.now();
        await page.goto(`/instances/${long}${path && `/${path}`}`);
        await page.getByText(`line ${LINES} of many`).waitFor();
        const took = Date.now() - began;
        assert.ok(took < 2000, `${took} ms`);
        const count = await nodes(page);
        assert.ok(count < 6000, `${count} nodes`);
        assert.equal((await numbers(page)).length, 500);
        assertClean(page);
    });
}

test('older lines come on scrolling up, far ones go, and the page stays small', async t => {
    const page = await browser.page(t);
    await page.goto(`/instances/${long}/logs`);
    await page.getByText(`line ${LINES} of many`).waitFor();
    const box = page.getByRole('region', { name: 'Lines of the log' });
    for (let round = 0; round < 12; round++) {
        const [first] = await numbers(page);
        await box.evaluate(box => box.scrollTo(0, 0));
        await eventually(async () => (await numbers(page))[0] < first, `lines before ${first}`);
    }
    const all = await numbers(page);
    assert.ok(all[0] <= ALL - 6000, `reached ${all[0]}`);
    assert.ok(all.length <= 5000, `${all.length} lines`);
    assert.ok(whole(all), 'without a hole');
    const count = await nodes(page);
    assert.ok(count < 6000, `${count} nodes`);
    // And back down.
    for (let last = all.at(-1) ?? 0; last < ALL; ) {
        await box.evaluate(box => box.scrollTo(0, box.scrollHeight));
        await eventually(async () => ((await numbers(page)).at(-1) ?? 0) > last, `lines after ${last}`);
        const now = await numbers(page);
        assert.ok(whole(now));
        last = now.at(-1) ?? 0;
    }
    assertClean(page);
});

test('what is seen stays where it is while older lines come', async t => {
    const page = await browser.page(t);
    await page.goto(`/instances/${long}/logs`);
    await page.getByText(`line ${LINES} of many`).waitFor();
    const box = page.getByRole('region', { name: 'Lines of the log' });
    const moved = await box.evaluate(async box => {
        const first = /** @type {HTMLElement} */ (box.querySelector('.ln'));
        const place = () => first.getBoundingClientRect().top - box.getBoundingClientRect().top;
        box.scrollTo(0, 300);
        const before = place();
        await new Promise(done => new MutationObserver(done).observe(box, { childList: true }));
        return place() - before;
    });
    assert.ok(Math.abs(moved) < 2, `moved ${moved} px`);
});

test('following ends on scrolling up, and f takes it up again', async t => {
    const page = await browser.page(t);
    const { number } = await daemon.start('ticks');
    await page.goto(`/instances/${number}/logs`);
    await page.getByText('Following').waitFor();
    await page.getByText(/^tick 40$/).waitFor();
    const box = page.getByRole('region', { name: 'Lines of the log' });
    await box.hover();
    await page.mouse.wheel(0, -400);
    await page.getByText('Not following').waitFor();
    const stopped = (await numbers(page)).at(-1) ?? 0;
    await eventually(async () => (await daemon.call('GET', `/v1/instances/${number}/logs?tail=1`)).lines[0].seq > stopped + 5, 'more lines');
    assert.equal((await numbers(page)).at(-1), stopped);
    await page.keyboard.press('f');
    await page.getByText('Following').waitFor();
    await eventually(async () => ((await numbers(page)).at(-1) ?? 0) > stopped + 5, 'the lines that came meanwhile');
    assert.ok(whole(await numbers(page)));
    await daemon.call('DELETE', `/v1/instances/${number}?force`);
    await page.getByText('Complete').waitFor();
    await page.locator('.status.cancelled').waitFor();
    assertClean(page);
});

test('an instance\'s own page follows its log', async t => {
    const page = await browser.page(t);
    const { number } = await daemon.start('ticks');
    await page.goto(`/instances/${number}`);
    await page.getByText(/^tick 20$/).waitFor();
    assert.equal(page.requested.filter(url => url.includes('follow')).length, 0, 'it has the feed, and no second stream');
    await daemon.call('DELETE', `/v1/instances/${number}?force`);
    await page.getByText('Complete').waitFor();
    assert.ok(whole(await numbers(page)));
    assertClean(page);
});

test('lines have links', async t => {
    const page = await browser.page(t);
    await page.goto(`/instances/${long}/logs#L50120-L50130`);
    await page.locator('.ln.marked').first().waitFor();
    assert.equal(await page.locator('.ln.marked').count(), 11);
    assert.ok(await page.locator('.ln[data-n="50120"]').isVisible());
    assert.ok(await page.locator('.ln[data-n="50120"]').evaluate(line => {
        const [own, box] = [line, line.closest('.logbox')].map(one => /** @type {Element} */ (one).getBoundingClientRect());
        return own.top >= box.top && own.bottom <= box.bottom;
    }));
    await page.locator('.ln[data-n="50125"]').click({ position: { x: 10, y: 10 } });
    assert.equal(new URL(page.url()).hash, '#L50125');
    await page.locator('.ln[data-n="50127"]').click({ position: { x: 10, y: 10 }, modifiers: ['Shift'] });
    assert.equal(new URL(page.url()).hash, '#L50125-L50127');
    assert.equal(await page.locator('.ln.marked').count(), 3);
    await page.reload();
    await page.locator('.ln.marked').first().waitFor();
    assert.equal(await page.locator('.ln.marked').count(), 3);
    // By keys.
    await page.getByLabel('Go to line').fill('7-9');
    await page.keyboard.press('Enter');
    await eventually(async () => (await page.locator('.ln.marked').count()) === 3 && (await numbers(page)).includes(8), 'lines 7 to 9');
    assert.equal(new URL(page.url()).hash, '#L7-L9');
    assertClean(page);
});

test('the server searches, and only stderr can be shown', async t => {
    const page = await browser.page(t);
    await page.goto(`/instances/${long}/logs`);
    await page.getByText(`line ${LINES} of many`).waitFor();
    await page.getByLabel('Search the log').fill('line 4242');
    await page.keyboard.press('Enter');
    await page.getByText('line 42424 of many').waitFor();
    const expected = (await daemon.call('GET', `/v1/instances/${long}/logs?tail=500&grep=line%204242`)).lines;
    assert.deepEqual(await numbers(page), expected.map((/** @type {any} */ line) => line.seq));
    assert.match(page.url(), /grep=line\+4242|grep=line%204242/);
    await page.reload();
    await page.getByText('line 42424 of many').waitFor();
    assert.equal((await numbers(page)).length, expected.length);
    // The link of a line that was found shows it among the others.
    await page.locator('.ln', { hasText: 'line 42424 of many' }).click({ position: { x: 10, y: 10 } });
    await page.getByText('line 42425 of many').waitFor();
    assert.equal(new URL(page.url()).search, '');
    await page.getByLabel('stderr only').check();
    await eventually(async () => (await page.locator('.ln').count()) === 1, 'one line');
    assert.equal(await page.locator('.ln').textContent(), 'to stderr');
    assertClean(page);
});

test('colours are classes, and times, wrapping and raw text can be had', async t => {
    const page = await browser.page(t, {});
    await page.goto(`/instances/${long}/logs#L1`);
    const green = page.locator('.ln .a-f2.a-bold');
    await green.waitFor();
    assert.equal(await green.textContent(), 'green');
    const line = page.locator('.ln', { hasText: 'and plain' });
    assert.equal(await line.textContent(), 'green and plain');
    await page.keyboard.press('t');
    await page.locator('.logbox.times').waitFor();
    await page.getByLabel('Wrap').check();
    await page.locator('.logbox.wrap').waitFor();
    await page.getByLabel('Raw').check();
    await eventually(async () => (await line.textContent())?.includes('\u001b[1;32m'), 'the escapes');
    const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: 'Download' }).click()]);
    const text = readFileSync(await download.path(), 'utf8');
    assert.equal(text.split('\n').length, ALL + 1);
    assert.ok(text.endsWith(`line ${LINES} of many\n`));
    assertClean(page);
});

/** What Chromium says of requests that a dead daemon did not answer. */
const AWAY = /net::ERR_|Failed to load resource/;
/** Where the lines are. @param {import('playwright-core').Page} page */
const boxOf = page => page.getByRole('region', { name: 'Lines of the log' });
/** That no part was asked for that cannot be. @param {import('./harness/browser.js').WatchedPage} page */
const asksWell = page => assert.deepEqual(page.requested.filter(url => /limit=(-|0)/.test(url)), []);

test('from far above, f shows the end of a log', async t => {
    const page = await browser.page(t);
    await page.goto(`/instances/${long}/logs`);
    await page.getByText(`line ${LINES} of many`).waitFor();
    await eventually(async () => {
        await boxOf(page).evaluate(box => box.scrollTo(0, 0));
        return ((await numbers(page)).at(-1) ?? 0) < ALL;
    }, 'the end is dropped');
    await page.keyboard.press('f');
    await page.getByText(`line ${LINES} of many`).waitFor();
    await page.locator('.logstate', { hasText: 'Complete' }).waitFor();
    assert.ok(whole(await numbers(page)));
    assert.equal(await page.getByRole('alert').count(), 0);
    asksWell(page);
    assertClean(page);
});

test('from a line of a growing log, f follows it', async t => {
    const page = await browser.page(t);
    const { number } = await daemon.start('grows');
    await eventually(async () => (await daemon.call('GET', `/v1/instances/${number}/logs?tail=1`)).lines[0]?.seq > 5000, 'many lines');
    await page.goto(`/instances/${number}/logs#L100`);
    await page.locator('.ln.marked').waitFor();
    await boxOf(page).hover();
    await page.mouse.wheel(0, 400);
    await page.keyboard.press('f');
    await page.getByText('Following').waitFor();
    await page.getByText('tick 9', { exact: true }).waitFor();
    assert.ok(whole(await numbers(page)));
    await daemon.call('DELETE', `/v1/instances/${number}?force`);
    await page.getByText('Complete').waitFor();
    asksWell(page);
    assertClean(page);
});

test('what was found is scrolled back to as far as the server finds it, and then it says so', async t => {
    const page = await browser.page(t);
    await page.goto(`/instances/${long}/logs?grep=of+many`);
    await page.getByText(`line ${LINES} of many`).waitFor();
    const note = page.getByText('Only the last 10,000 lines that match are shown.');
    await eventually(async () => {
        await boxOf(page).evaluate(box => box.scrollTo(0, 0));
        return note.isVisible();
    }, 'the note');
    const all = await numbers(page);
    assert.equal(all[0], ALL - 9_999);
    assert.ok(whole(all));
    // And down again, to the end.
    for (let last = all.at(-1) ?? 0; last < ALL; last = (await numbers(page)).at(-1) ?? 0) {
        await boxOf(page).evaluate(box => box.scrollTo(0, box.scrollHeight));
        await eventually(async () => ((await numbers(page)).at(-1) ?? 0) > last, `lines after ${last}`);
        assert.ok(whole(await numbers(page)));
    }
    assertClean(page);
});

test('a line that is not there is told, and the end shown', async t => {
    const page = await browser.page(t);
    await page.goto(`/instances/${long}/logs#L999999`);
    await page.getByText('There is no line 999,999. This is the end.').waitFor();
    await page.getByText(`line ${LINES} of many`).waitFor();
    await page.getByLabel('Go to line').fill('5');
    await page.keyboard.press('Enter');
    await page.locator('.ln[data-n="5"].marked').waitFor();
    assert.equal(await page.getByText('There is no line').count(), 0);
    await page.getByLabel('Go to line').fill('100003');
    await page.keyboard.press('Enter');
    await page.getByText('There is no line 100,003. This is the end.').waitFor();
    await page.getByText(`line ${LINES} of many`).waitFor();
    asksWell(page);
    assertClean(page);
});

test('what a part was refused for is told until a part is read', async t => {
    const page = await browser.page(t);
    await page.goto(`/instances/${long}/logs`);
    await page.getByText(`line ${LINES} of many`).waitFor();
    await page.route('**/logs?*grep=*', route => route.fulfill({ status: 400, json: { type: 'about:blank', title: 'Refused', status: 400, detail: 'not so' } }));
    const search = page.getByRole('searchbox', { name: 'Search the log' });
    await page.keyboard.press('/');
    await page.keyboard.type('line 4242');
    await page.keyboard.press('Enter');
    await page.getByRole('alert').getByText('not so').waitFor();
    await page.getByText('Not read').waitFor();
    await page.unroute('**/logs?*grep=*');
    await search.press('Enter');
    await page.getByText('line 42424 of many').waitFor();
    assert.equal(await page.getByRole('alert').count(), 0);
    assertClean(page, /status of 400/);
});

test('what was asked for while the daemon is away comes when it is back', async t => {
    const [lines, found] = [await browser.page(t), await browser.page(t)];
    for (const page of [lines, found]) {
        await page.goto(`/instances/${long}/logs`);
        await page.getByText(`line ${LINES} of many`).waitFor();
    }
    await daemon.kill();
    await lines.getByLabel('Go to line').fill('7');
    await lines.keyboard.press('Enter');
    await found.getByLabel('Search the log').fill('line 4242');
    await found.keyboard.press('Enter');
    for (const page of [lines, found]) {
        await page.getByText('The daemon does not answer.').first().waitFor();
        assert.equal(await page.locator('.logempty').count(), 0);
        assert.equal(await page.locator('.ln').count(), 0);
    }
    await daemon.restart();
    await lines.locator('.ln[data-n="7"].marked').waitFor();
    await found.getByText('line 42424 of many').waitFor();
    for (const page of [lines, found]) assertClean(page, AWAY);
});
