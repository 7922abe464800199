// Takes the pictures of docs/images: each page, light and dark, with a store in which an hour of work has been done.
// Run by scripts/screenshots.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { Browser, eventually } from './harness/browser.js';
import { Daemon, REPOSITORY } from './harness/daemon.js';

const HOUR_IN = 66; // s: the clock of the daemon's first life runs that much faster

const CONFIG = `
[worker]
command_slots = 8
[[tasks]]
name = "thumbnails"
description = "Makes thumbnails of the photographs in a folder"
command = ["sh", "-c", '''
printf '\\033[36mfound\\033[0m 1,204 photographs in /srv/photos/2026\\n'
i=0; while [ $i -lt \${COUNT:-60} ]; do i=$((i+1)); printf '\\033[32mok\\033[0m   IMG_%04d.jpg  4032×3024 → 512×384  %d ms\\n' $i $((20 + i % 37)); [ $((i % 17)) -eq 0 ] && printf '\\033[33mskip\\033[0m IMG_%04d.heic  no decoder\\n' $i >&2; sleep 0.01; done
sleep "$(sed 's/.*"pause": *\\([0-9.]*\\).*/\\1/;t;s/.*/0.1/' "$TASKWRIGHT_INPUT_FILE")"''']
timeout = "10m"
max_attempts = 2
concurrency = 4
input_schema = { type = "object", required = ["folder"], properties = { folder = { type = "string", description = "Where the photographs are" }, size = { type = "integer", minimum = 16, maximum = 4096, default = 512, description = "The longer side, in pixels" }, format = { enum = ["webp", "jpeg", "avif"], default = "webp" }, overwrite = { type = "boolean", default = false }, albums = { type = "array", items = { type = "string" }, description = "Only these; all without any" }, pause = { type = "number", minimum = 0, description = "Seconds to rest at the end" } } }
[[tasks]]
name = "import-orders"
description = "Reads the orders of a shop into the warehouse"
command = ["sh", "-c", 'echo "412 orders read"; sleep 0.2']
retry_delay = "1s"
max_attempts = 3
[[tasks]]
name = "send-invoices"
description = "Sends the invoices that are due"
command = ["sh", "-c", 'sleep 0.3; echo "mail.example.com:587: connection refused after 3 tries" >&2; exit 1']
[[tasks]]
name = "nightly-report"
description = "Makes the report of a day and puts it where everybody finds it"
command = ["sh", "-c", 'sleep 0.4; echo done']
`;

/** @param {number} seconds @param {number} [least] */
const upTo = (seconds, least = 0) => least + Math.random() * (seconds - least);
const SHOPS = ['acme', 'northwind', 'contoso', 'initech'];

/** An hour of work, in a minute. @param {Daemon} daemon */
async function anHour(daemon) {
    const end = Date.now() + (HOUR_IN - 6) * 1000;
    while (Date.now() < end) {
        const shop = SHOPS[Math.floor(Math.random() * SHOPS.length)];
        const dice = Math.random();
        if (dice < 0.5) await daemon.start('import-orders', { shop }, { labels: { customer: shop } });
        else if (dice < 0.65) await daemon.start('thumbnails', { folder: `/srv/photos/${shop}`, pause: upTo(0.8) }, { labels: { customer: shop } });
        else if (dice < 0.7) await daemon.start('send-invoices', { shop }, { labels: { customer: shop } });
        else if (dice < 0.8) await daemon.start('nightly-report', { day: '2026-11-26' });
        else await daemon.start('sleep', { seconds: upTo(0.6) });
        if (dice > 0.95) await daemon.call('POST', '/v1/instances/stop', { task_id: 'sleep', status: ['running'] });
        await new Promise(next => setTimeout(next, upTo(700, 60)));
    }
}

const daemon = await Daemon.start({ config: CONFIG, speed: 3600 / HOUR_IN });
const browser = await Browser.start(daemon);
try {
    await anHour(daemon);
    await eventually(async () => (await daemon.call('GET', '/v1/instances?status=running')).instances.length === 0, 'the end of all');
    await daemon.kill();
    await daemon.restart();

    const big = await daemon.run('thumbnails', { folder: '/srv/photos/2026', size: 512, format: 'webp', albums: ['spring', 'summer'], pause: 0 }, { labels: { customer: 'acme', batch: '2026-11' } });
    const failed = await daemon.run('send-invoices', { shop: 'northwind', due: '2026-11-26' }, { max_attempts: 3, labels: { customer: 'northwind' } });
    const running = await daemon.start('thumbnails', { folder: '/srv/photos/archive', size: 1024, format: 'avif', pause: 3600 }, { labels: { customer: 'contoso', batch: '2026-11' } });
    const others = [];
    for (const [shop, seconds] of /** @type {[string, number][]} */ ([['acme', 900], ['initech', 240]])) others.push(await daemon.start('sleep', { seconds }, { labels: { customer: shop } }));
    await daemon.start('import-orders', { shop: 'initech' }, { delay: '2h', labels: { customer: 'initech' } });
    await daemon.until(running.number, ['running']);
    await eventually(async () => (await daemon.call('GET', `/v1/instances/${running.number}/logs?tail=1`)).lines[0]?.seq > 60, 'its lines');
    await daemon.call('PUT', `/v1/instances/${running.number}/progress`, { progress: 0.62, message: '746 of 1,204 photographs' });
    await daemon.text('PUT', `/v1/instances/${running.number}/output`, '{"made":746,"skipped":41,"last_id":9007199254740993}');

    /** @type {[string, string, string][]} */
    const pages = [
        ['overview', '/', 'table.instances'],
        ['instances', '/instances', 'table.instances'],
        ['instance', `/instances/${running.number}`, '.ln'],
        ['failure', `/instances/${failed.number}`, '.ln'],
        ['log', `/instances/${big.number}/logs#L20-L26`, '.ln.marked'],
        ['tasks', '/tasks', 'table.tasks'],
        ['task', '/tasks/thumbnails', 'table.schema'],
        ['start', `/tasks/thumbnails/start?from=${big.number}`, 'form.start'],
        ['system', '/system', 'table'],
        ['login', '/login', '#token'],
    ];
    const folder = process.argv[2] ?? join(REPOSITORY, 'docs/images');
    mkdirSync(folder, { recursive: true });
    for (const colorScheme of /** @type {const} */ (['light', 'dark'])) {
        const context = await browser.context({ colorScheme, viewport: { width: 1280, height: 860 } });
        const page = await browser.tab(context);
        for (const [name, path, whole] of pages) {
            await page.goto(path);
            await page.locator(whole).first().waitFor();
            if (path !== '/login') await page.locator('.connection.live').waitFor();
            await page.waitForLoadState('load');
            // What is fetched when it is first shown, such as a page's log, is there after a quiet moment.
            await page.waitForTimeout(800);
            await page.screenshot({ path: join(folder, `${name}-${colorScheme}.png`), animations: 'disabled' });
            if (page.complaints.length) throw new Error(`${path}: ${page.complaints}`);
        }
        await context.close();
    }
} finally {
    await browser.stop();
    await daemon.stop();
}
