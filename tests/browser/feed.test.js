// What a page is told of the stream of changes, by the module that reads it.
import assert from 'node:assert/strict';
import { test } from 'node:test';

/** A browser as far as the module needs one. */
const page = { dataset: { base: '' } };
Object.assign(globalThis, {
    document: { hidden: false, documentElement: page, addEventListener() {} },
    location: { pathname: '/', search: '', hash: '', href: 'http://localhost/' },
    history: { state: null, replaceState() {}, pushState() {} },
    addEventListener() {},
});
Object.defineProperty(globalThis, 'navigator', { value: {}, configurable: true });
// @ts-expect-error: there are no other tabs.
delete globalThis.BroadcastChannel;

test('a place that was lost does not take the changes with it that are known', async () => {
    const id = '01a21b8f-1df2-72fc-bfdc-b59a2eed92fe';
    const lines = [
        '{"event":"ready","id":"7.1","data":{"resumed":false}}',
        `{"event":"instance","id":"7.2","data":{"id":"${id}","number":3,"version":2}}`,
    ];
    globalThis.fetch = async () => {
        const { readable, writable } = new TransformStream();
        void writable.getWriter().write(new TextEncoder().encode(`${lines.join('\n')}\n`));
        return new Response(readable, { headers: { 'content-type': 'application/x-ndjson' } });
    };
    const { newsOf, startLive, subscribe } = await import('../../src/http/dashboard/assets/core/live.js');
    const first = new Promise(told => void subscribe(told));
    startLive();
    const news = /** @type {import('../../src/http/dashboard/assets/core/live.js').News} */ (await first);
    assert.equal(news.resync, true);
    assert.equal(newsOf(news, '3')?.version, 2);
    assert.equal(newsOf(news, id)?.number, 3);
});
