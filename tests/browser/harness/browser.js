// Debian's Chromium, and pages whose every complaint is kept.
import { chromium } from 'playwright-core';

/** The longest a condition may take; all are far quicker on an idle machine. */
const PATIENCE = 20_000;

/** @typedef {import('playwright-core').Page & { complaints: string[], requested: string[] }} WatchedPage */

export class Browser {
    /** @type {import('playwright-core').Browser} */ #browser;
    /** @type {import('./daemon.js').Daemon} */ #daemon;
    /** @type {Promise<import('playwright-core').BrowserContext> | undefined} */ #shared;

    /** @param {import('playwright-core').Browser} browser @param {import('./daemon.js').Daemon} daemon */
    constructor(browser, daemon) {
        this.#browser = browser;
        this.#daemon = daemon;
    }

    /** @param {import('./daemon.js').Daemon} daemon */
    static async start(daemon) {
        const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
        return new Browser(await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu'] }), daemon);
    }

    /** A page that is closed when the test is over. Without options it shares what the browser keeps with the others,
     * so that the scripts are fetched once. @param {import('node:test').TestContext} t
     * @param {import('playwright-core').BrowserContextOptions} [options] */
    async page(t, options) {
        const context = options ? await this.context(options) : await (this.#shared ??= this.context());
        const page = await this.tab(context);
        t.after(() => (options ? context.close() : page.close()));
        return page;
    }

    /** @param {import('playwright-core').BrowserContextOptions} [options] */
    async context(options = {}) {
        const context = await this.#browser.newContext({
            baseURL: this.#daemon.url,
            viewport: { width: 1280, height: 800 },
            reducedMotion: 'reduce',
            ...options,
        });
        context.setDefaultTimeout(PATIENCE);
        await context.addInitScript(() => {
            document.addEventListener('securitypolicyviolation', event => {
                console.error(`CSP violation: ${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`);
            });
        });
        return context;
    }

    /** @param {import('playwright-core').BrowserContext} context @returns {Promise<WatchedPage>} */
    async tab(context) {
        const page = /** @type {WatchedPage} */ (await context.newPage());
        page.complaints = [];
        page.requested = [];
        page.on('console', message => {
            if (['error', 'warning'].includes(message.type())) page.complaints.push(`console: ${message.text()} (${message.location().url})`);
        });
        page.on('pageerror', error => page.complaints.push(`exception: ${error.stack ?? error.message}`));
        page.on('request', request => {
            page.requested.push(request.url());
            const url = new URL(request.url());
            if (url.origin !== this.#daemon.url && !['data:', 'blob:', 'about:'].includes(url.protocol)) {
                page.complaints.push(`request to another origin: ${request.url()}`);
            }
        });
        return page;
    }

    stop() {
        return this.#browser.close();
    }
}

/**
 * Waits until `condition` holds (its last error says why not).
 * @template T
 * @param {() => T | Promise<T>} condition  truthy once it holds
 * @param {string} what
 * @returns {Promise<T>}
 */
export async function eventually(condition, what) {
    const end = Date.now() + PATIENCE;
    for (;;) {
        const value = await condition();
        if (value) return value;
        if (Date.now() > end) throw new Error(`never happened: ${what}`);
        await new Promise(next => setTimeout(next, 25));
    }
}
