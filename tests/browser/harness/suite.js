// What every file of tests begins with: a daemon, a browser, and their end.
import assert from 'node:assert/strict';
import { after } from 'node:test';
import { Browser } from './browser.js';
import { Daemon } from './daemon.js';

/** @param {import('./daemon.js').Options} [options] */
export async function suite(options) {
    const daemon = await Daemon.start(options);
    const browser = await Browser.start(daemon);
    after(async () => {
        await browser.stop();
        await daemon.stop();
    });
    return { daemon, browser };
}

/** That a page had nothing to complain of, but for what the test provoked.
 * @param {import('./browser.js').WatchedPage} page @param {RegExp} [provoked] */
export function assertClean(page, provoked) {
    assert.deepEqual(page.complaints.filter(one => !provoked?.test(one)), []);
}
