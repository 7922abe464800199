// What people do with a copied line: they run it.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { BINARY } from './daemon.js';

/** The line of `curl` or of `taskwright` that the page offers, or null. @param {import('playwright-core').Page} page
 * @param {'curl' | 'taskwright'} program */
export async function copied(page, program) {
    const lines = await page.locator('#copy-as code').allTextContents();
    return lines.find(line => line.startsWith(`${program} `)) ?? null;
}

/** Runs a line in a shell; what it printed. Throws if it fails. @param {string} line @param {Record<string, string>} [env] */
export async function run(line, env = {}) {
    const script = `taskwright() { ${BINARY} "$@"; }\n${line}`;
    const { stdout } = await promisify(execFile)('sh', ['-c', script], { env: { PATH: process.env.PATH, HOME: '/nonexistent', ...env }, timeout: 20_000 });
    return stdout;
}
