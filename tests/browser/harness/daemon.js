// The real daemon on a temporary store: started, killed and started again as a test wants.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

export const REPOSITORY = resolve(dirname(fileURLToPath(import.meta.url)), '../../..');

export const BINARY = resolve(
    process.env.TASKWRIGHT_BIN ?? join(process.env.CARGO_TARGET_DIR ?? join(REPOSITORY, 'target'), 'debug/taskwright'),
);

/** Tasks that tests start. `talk` prints what `lines` says; `form` has an input of every kind that a form can show. */
const TASKS = `
[[tasks]]
name = "talk"
description = "Prints so many lines, in colours and on both streams"
command = ["sh", "-c", '''
lines=$(sed 's/.*"lines": *\\([0-9]*\\).*/\\1/' "$TASKWRIGHT_INPUT_FILE")
printf '\\033[1;32mgreen\\033[0m and plain\\n'
echo 'to stderr' >&2
seq -f 'line %.0f of many' 1 "$lines"
''']
input_schema = { type = "object", required = ["lines"], properties = { lines = { type = "integer", minimum = 0, default = 10 } } }

[[tasks]]
name = "ticks"
description = "Prints a line every tenth of a second until it is stopped"
command = ["sh", "-c", 'i=0; while :; do i=$((i+1)); echo "tick $i"; sleep 0.1; done']

[[tasks]]
name = "grows"
description = "Prints 6,000 lines, and goes on as \`ticks\` does"
command = ["sh", "-c", 'seq 6000; i=0; while :; do i=$((i+1)); echo "tick $i"; sleep 0.1; done']

[[tasks]]
name = "stubborn"
description = "Does not end when it is asked to"
command = ["sh", "-c", 'trap "echo no" TERM; echo ready; while :; do sleep 0.1; done']

[[tasks]]
name = "form"
description = "Echoes its inputs"
command = ["sh", "-c", 'cat "$TASKWRIGHT_INPUT_FILE"']
input_schema = { type = "object", required = ["name", "count"], properties = { name = { type = "string", minLength = 2, description = "Who it is for" }, count = { type = "integer", minimum = 1, maximum = 9007199254740993, description = "How many" }, ratio = { type = "number", default = 0.5 }, loud = { type = "boolean", default = true }, size = { enum = ["small", "large"], default = "small" }, tags = { type = "array", items = { type = "string" } }, at = { type = "string", format = "date-time" }, where = { type = "object", properties = { city = { type = "string" }, zip = { type = "integer" } }, required = ["city"] }, extra = { anyOf = [{ type = "string" }, { type = "object" }] } } }

[[tasks]]
name = "fails"
description = "Fails with a message on stderr"
command = ["sh", "-c", 'echo "disk is full" >&2; exit 3']
`;

/**
 * @typedef {object} Options
 * @property {string} [config]  TOML that is added to the tasks above
 * @property {boolean} [bare]  leaves the tasks above out
 * @property {Record<string, string>} [tokens]  scope of each token, by its text
 * @property {number} [speed]  of the wall clock of its first life, which ends now when it has run for an hour
 */

export class Daemon {
    /** @type {import('node:child_process').ChildProcess | null} */
    #child = null;
    #listen = '127.0.0.1:0';
    #folder = mkdtempSync(join(tmpdir(), 'taskwright-browser-'));
    url = '';
    /** Sent with every request of `call`. @type {string | null} */
    token = null;

    /** @param {Options} [options] */
    static async start(options = {}) {
        if (!existsSync(BINARY)) throw new Error(`no daemon at ${BINARY}: cargo build, or set TASKWRIGHT_BIN`);
        const daemon = new Daemon();
        const tokens = Object.entries(options.tokens ?? {}).map(([text, scope]) => {
            const sha256 = createHash('sha256').update(text).digest('hex');
            return `[[tokens]]\nname = "${scope}"\nsha256 = "${sha256}"\nscopes = ["${scope}"]\n`;
        });
        const config = [options.config ?? '', options.bare ? '' : TASKS, ...tokens].join('\n');
        writeFileSync(join(daemon.#folder, 'config.toml'), config, { mode: 0o600 });
        await daemon.#spawn(options.speed);
        return daemon;
    }

    /** @param {number} [speed] */
    async #spawn(speed) {
        const child = spawn(
            BINARY,
            ['serve', '--config', join(this.#folder, 'config.toml'), '--listen', this.#listen, '--log-format', 'json',
                '--database', `sqlite://${join(this.#folder, 'taskwright.db')}`],
            { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...(speed ? fasterClock(speed) : {}) } },
        );
        this.#child = child;
        let said = '';
        this.url = await new Promise((found, fail) => {
            const hear = (/** @type {Buffer} */ bytes) => {
                said += bytes;
                const line = /"url":"(http[^"]+)"/.exec(said);
                if (line) found(line[1]);
            };
            child.stdout?.on('data', hear);
            child.stderr?.on('data', hear);
            child.once('exit', code => fail(new Error(`the daemon ended with ${code}: ${said.slice(-2000)}`)));
        });
        // The next one listens where the pages look for it.
        this.#listen = new URL(this.url).host;
    }

    /** As a power cut does: nothing is told, nothing is written. */
    async kill() {
        await this.#end('SIGKILL');
    }

    async restart() {
        await this.#spawn();
    }

    async stop() {
        await this.#end('SIGKILL');
        rmSync(this.#folder, { recursive: true, force: true });
    }

    async #end(/** @type {NodeJS.Signals} */ signal) {
        const child = this.#child;
        this.#child = null;
        if (!child || child.exitCode !== null) return;
        const ended = new Promise(done => child.once('exit', done));
        child.kill(signal);
        await ended;
    }

    /**
     * A request to the API, and its answer, which has to be a good one.
     * @param {string} method
     * @param {string} path
     * @param {unknown} [body]  JSON, or its text
     * @returns {Promise<any>}
     */
    async call(method, path, body) {
        const text = await this.text(method, path, body);
        return text ? JSON.parse(text) : null;
    }

    /** As `call`, with the answer's text. @param {string} method @param {string} path @param {unknown} [body] */
    async text(method, path, body) {
        /** @type {Record<string, string>} */
        const headers = { accept: 'application/json' };
        if (this.token) headers.authorization = `Bearer ${this.token}`;
        if (body !== undefined) headers['content-type'] = 'application/json';
        const answer = await fetch(this.url + path, {
            method,
            headers,
            body: body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body),
        });
        const text = await answer.text();
        if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
        return text;
    }

    /** @param {string} task @param {unknown} [inputs] @param {Record<string, unknown>} [options] */
    start(task, inputs = {}, options = {}) {
        return this.call('POST', '/v1/instances', { task_id: task, inputs, ...options });
    }

    /** Starts one and waits for its end. @param {string} task @param {unknown} [inputs] @param {Record<string, unknown>} [options] */
    async run(task, inputs, options) {
        const { number } = await this.start(task, inputs, options);
        return this.until(number, ['completed', 'failed', 'cancelled']);
    }

    /** Waits until an instance has one of these statuses. @param {number} id @param {string[]} statuses */
    async until(id, statuses) {
        let since = 0;
        for (;;) {
            const instance = await this.call('GET', `/v1/instances/${id}?since=${since}&wait=20`);
            if (statuses.includes(instance.status)) return instance;
            if (instance.finished_at) throw new Error(`${id} is ${instance.status}, not ${statuses}`);
            since = instance.version;
        }
    }

    /** @param {number} id */
    status(id) {
        return this.call('GET', `/v1/instances/${id}`).then(instance => instance.status);
    }
}

/** Makes the wall clock of a program run faster, from so long ago that an hour of it ends now. What the program waits
 * for keeps its pace. @param {number} speed */
function fasterClock(speed) {
    const library = ['x86_64', 'aarch64'].map(machine => `/usr/lib/${machine}-linux-gnu/faketime/libfaketimeMT.so.1`).find(existsSync);
    if (!library) throw new Error('libfaketime is missing: apt-get install faketime');
    const from = new Date(Date.now() - 3_600_000 + 3_600_000 / speed).toISOString().slice(0, 19).replace('T', ' ');
    return { LD_PRELOAD: library, FAKETIME: `@${from} x${speed}`, FAKETIME_DONT_FAKE_MONOTONIC: '1', DONT_FAKE_MONOTONIC: '1', TZ: 'UTC' };
}
