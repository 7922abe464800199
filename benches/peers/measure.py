"""Measures the same work on the peers and on Taskwright, one system at a time, and prints a Markdown table.

`run` installs what it needs and starts it.
"""

import argparse
import contextlib
import importlib.metadata
import json
import os
import platform
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import redis

HERE = Path(__file__).parent
CONNECTIONS = (1, 64)
BODY = 256
# Nothing takes longer unless something is broken.
START, SETTLE, END = 30, 90, 30
SLOTS = 256

# The largest share of a core that the client took.
busiest = 0.0


class Broken(Exception):
    """The story of a failure in one line; the benchmark ends at the first."""


def say(words):
    print(words, file=sys.stderr, flush=True)


# ---- processes ------------------------------------------------------------------------------------------------------


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def running(command, log, **more):
    """A process in a group of its own, ended with all that it started."""
    environment = os.environ | more.pop("env", {})
    with open(log, "ab") as words:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=words, stderr=words, start_new_session=True, env=environment, **more
        )
    try:
        yield process
        if process.poll() is not None:
            raise Broken(f"{command[0]} ended by itself with {process.returncode}: {tail(log)}")
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(END)
        # The number is not given away before the group is empty.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def tail(log):
    return Path(log).read_text(errors="replace")[-2000:]


def wait_for(condition, what, limit, process=None, log=None):
    end = time.monotonic() + limit
    while True:
        answer = condition()
        if answer:
            return answer
        if process is not None and process.poll() is not None:
            raise Broken(f"{what}: it ended with {process.returncode}: {tail(log)}")
        if time.monotonic() > end:
            raise Broken(f"{what}: not within {limit} s" + (f": {tail(log)}" if log else ""))
        time.sleep(0.005)


def get(url):
    """The body of a 200, else None."""
    try:
        with urllib.request.urlopen(url, timeout=10) as reply:
            return reply.read()
    except (urllib.error.HTTPError, OSError):
        return None


# ---- the client -----------------------------------------------------------------------------------------------------


def padded(value):
    """The same number of bytes for everybody."""
    text = json.dumps(value, separators=(",", ":"))
    return text[:-1].ljust(BODY - 1) + text[-1]


def load(url, body, connections, seconds):
    """wrk: each connection sends its next request when the reply has come."""
    threads = min(2, connections)
    global busiest
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = ["wrk", "-s", HERE / "start.lua", "-t", threads, "-c", connections, "-d", f"{seconds}s", "--timeout", "20s", url]
    outcome = subprocess.run(
        [str(part) for part in command], env=os.environ | {"PEERS_BODY": body}, capture_output=True, text=True,
        timeout=seconds + 60, check=False,
    )
    lines = [line for line in outcome.stdout.splitlines() if line.startswith("{")]
    if outcome.returncode or not lines:
        raise Broken(f"wrk failed: {outcome.stdout}{outcome.stderr}")
    figures = json.loads(lines[0])
    # No other child is waited for meanwhile: what was added is wrk's.
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    busiest = max(busiest, spent / figures["seconds"])
    if figures["refused"] or figures["broken"] or not figures["requests"]:
        raise Broken(f"not every request was answered well: {lines[0]}")
    return figures


def start_and_settle(system, connections, seconds):
    """Accepted starts a second, and done ones: the clock of those stops when every one is done."""
    before = system.done()
    began = time.monotonic()
    figures = load(system.start, system.body, connections, seconds)
    wait_for(system.settled, "every started task is done", SETTLE)
    took = time.monotonic() - began
    done = system.done() - before
    # wrk cuts off what is under way at its end: the server may have accepted one more a connection.
    if not figures["requests"] <= done <= figures["requests"] + connections:
        raise Broken(f"{figures['requests']} were accepted, {done} are done")
    return {"accepted": figures["requests"] / figures["seconds"], "p50": figures["p50"], "p99": figures["p99"], "done": done / took}


def start_and_wait(system, connections, seconds):
    """Starts that are answered when the task is done."""
    figures = load(system.wait, system.wait_body, connections, seconds)
    wait_for(system.settled, "every started task is done", SETTLE)
    return {"waited": figures["requests"] / figures["seconds"], "wait_p50": figures["p50"]}


def rounds(system, connections, options):
    load(system.start, system.body, connections, 1)
    wait_for(system.settled, "every started task is done", SETTLE)
    taken = []
    for number in range(1, options.rounds + 1):
        say(f"  {connections} connections, round {number} of {options.rounds}")
        taken.append(start_and_settle(system, connections, options.seconds) | start_and_wait(system, connections, options.seconds))
    return medians(taken)


def medians(taken):
    return {name: statistics.median(one[name] for one in taken) for name in taken[0]}


# ---- numerous.tasks -------------------------------------------------------------------------------------------------


def measure_numerous(options):
    rows = []
    for in_flight in CONNECTIONS:
        taken = []
        for number in range(1, options.rounds + 1):
            say(f"  {in_flight} in flight, round {number} of {options.rounds}")
            outcome = subprocess.run(
                [sys.executable, HERE / "numerous_local.py", str(in_flight), str(options.seconds)],
                capture_output=True, text=True, timeout=options.seconds + 120, check=False,
            )
            if outcome.returncode:
                raise Broken(f"numerous.tasks: {outcome.stderr[-2000:]}")
            figures = json.loads(outcome.stdout)
            row = {"done": figures["done"] / figures["seconds"]}
            if in_flight == 1:
                row |= {"waited": row["done"], "wait_p50": figures["p50"]}
            taken.append(row)
        rows.append(("`numerous.tasks`, in process, in memory", in_flight, medians(taken)))
    return rows, [f"numerous {importlib.metadata.version('numerous')}, 4 threads (its own default), CPython {platform.python_version()}"]


# ---- Celery ---------------------------------------------------------------------------------------------------------

POOLS = (("prefork", 2), ("prefork", 4), ("threads", 16), ("solo", 1))
PUBLISH = 2


class Flower:
    """Celery as it is used over HTTP."""

    def __init__(self, port, broker):
        self.start = f"http://127.0.0.1:{port}/api/task/async-apply/sleep"
        self.wait = f"http://127.0.0.1:{port}/api/task/apply/sleep"
        self.body = self.wait_body = padded({"args": [0]})
        self.queue = redis.Redis.from_url(f"{broker}/0")
        self.results = redis.Redis.from_url(f"{broker}/1")

    def done(self):
        return self.results.dbsize()

    def settled(self):
        if self.queue.llen("celery") or self.queue.hlen("unacked"):
            return False
        # A task leaves the queue before its result is there. Workers are idle when the number stands still.
        before = self.done()
        time.sleep(0.02)
        return self.done() == before


@contextlib.contextmanager
def redis_server(folder):
    port = free_port()
    log = folder / "redis.log"
    command = ["redis-server", "--port", port, "--bind", "127.0.0.1", "--dir", folder, "--save", "", "--appendonly", "yes"]
    command += ["--appendfsync", "always", "--daemonize", "no"]
    with running([str(part) for part in command], log) as process:
        client = redis.Redis(port=port)

        def answers():
            with contextlib.suppress(redis.exceptions.RedisError):
                return client.ping()

        wait_for(answers, "Redis answers", START, process, log)
        if (client.config_get("appendonly"), client.config_get("appendfsync")) != ({"appendonly": "yes"}, {"appendfsync": "always"}):
            raise Broken("Redis does not sync every append")
        yield f"redis://127.0.0.1:{port}", client.info("server")["redis_version"]


@contextlib.contextmanager
def celery_worker(folder, broker, pool, concurrency):
    log = folder / f"worker-{pool}.log"
    command = [sys.executable, "-m", "celery", "-A", "celery_app", "worker", "--pool", pool, "--concurrency", str(concurrency)]
    command += ["--loglevel", "WARNING", "--without-gossip", "--without-mingle"]
    with running(command, log, cwd=HERE, env={"PEERS_REDIS": broker, "PYTHONDONTWRITEBYTECODE": "1"}) as process:
        yield process, log


def choose_pool(folder, broker):
    """How many tasks each pool gets done while one process publishes them without Flower: the quickest is measured."""
    os.environ["PEERS_REDIS"] = broker
    sys.path.insert(0, str(HERE))
    sys.dont_write_bytecode = True
    from celery_app import sleep

    results = redis.Redis.from_url(f"{broker}/1")
    rates = {}
    # Twice in turn, and the better time counts: one disturbance does not choose.
    for pool, concurrency in POOLS * 2:
        with celery_worker(folder, broker, pool, concurrency) as (process, log):
            sleep.delay(0).get(timeout=START)
            wanted = before = results.dbsize()
            began = time.monotonic()
            while time.monotonic() < began + PUBLISH:
                sleep.delay(0)
                wanted += 1
            wait_for(lambda wanted=wanted: results.dbsize() == wanted, f"the pool {pool} is done", SETTLE, process, log)
            rate = (wanted - before) / (time.monotonic() - began)
            rates[pool, concurrency] = max(rate, rates.get((pool, concurrency), 0))
            say(f"  worker with --pool {pool} --concurrency {concurrency}: {rate:.0f}/s without Flower")
    best = max(rates, key=rates.get)
    return best, rates


def measure_celery(options):
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="celery-", dir=options.folder)))
        broker, redis_version = stack.enter_context(redis_server(folder))
        (pool, concurrency), rates = choose_pool(folder, broker)
        stack.enter_context(celery_worker(folder, broker, pool, concurrency))
        port = free_port()
        log = folder / "flower.log"
        # Without events the workers have less to do; these parts of its API need none.
        command = [sys.executable, "-m", "celery", "-A", "celery_app", "flower", "--address=127.0.0.1", f"--port={port}"]
        command += ["--enable_events=False"]
        flower = stack.enter_context(running(
            command, log, cwd=HERE,
            env={"PEERS_REDIS": broker, "FLOWER_UNAUTHENTICATED_API": "true", "PYTHONDONTWRITEBYTECODE": "1"},
        ))
        system = Flower(port, broker)
        wait_for(lambda: get(f"http://127.0.0.1:{port}/api/task/types"), "Flower answers", START, flower, log)
        rows = [("Celery + Redis through Flower", count, rounds(system, count, options)) for count in CONNECTIONS]
        # One result as a client would ask for it.
        request = urllib.request.Request(system.wait, system.wait_body.encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=20) as reply:
            started = json.load(reply)
        found = json.loads(get(f"http://127.0.0.1:{port}/api/task/result/{started['task-id']}") or "null")
        if not found or found["state"] != "SUCCESS" or found["result"] != {"slept": 0}:
            raise Broken(f"Flower's result of a task is {found}")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("celery", "flower", "redis"))
    pools = ", ".join(f"{pool} {concurrency}: {rate:.0f}/s" for (pool, concurrency), rate in rates.items())
    facts = [
        f"{versions} (the Python client), Redis {redis_version} with appendonly yes, appendfsync always",
        f"worker with --pool {pool} --concurrency {concurrency}, the quickest without Flower, one publisher ({pools})",
    ]
    return rows, facts


# ---- Taskwright -----------------------------------------------------------------------------------------------------


class Taskwright:
    """The daemon under test."""

    def __init__(self, url):
        self.url = url
        self.start = f"{url}/v1/instances?wait=0"
        self.wait = f"{url}/v1/instances?wait=20"
        self.body = self.wait_body = padded({"task_id": "sleep", "inputs": {"seconds": 0}})

    def first(self, query):
        return next(iter(json.loads(get(f"{self.url}/v1/instances?limit=1{query}") or b"")["instances"]), None)

    def done(self):
        # Numbers rise by one with every instance. It is asked for when nothing is under way.
        if bad := self.first("&status=failed,cancelled"):
            raise Broken(f"an instance did not complete: {bad}")
        newest = self.first("")
        return newest["number"] if newest else 0

    def settled(self):
        return self.first("&status=pending,running") is None


@contextlib.contextmanager
def taskwright(options):
    with tempfile.TemporaryDirectory(prefix="taskwright-", dir=options.folder) as name:
        folder = Path(name)
        port = free_port()
        config = folder / "config.toml"
        config.write_text(
            f'[server]\nlisten = "127.0.0.1:{port}"\n[database]\nurl = "sqlite://{folder}/taskwright.db"\n'
            f"[worker]\nlocal_slots = {SLOTS}\n"
        )
        log = folder / "log"
        with running([options.binary, "serve", "--config", str(config)], log) as process:
            url = f"http://127.0.0.1:{port}"
            wait_for(lambda: get(f"{url}/readyz"), "Taskwright is ready", START, process, log)
            yield Taskwright(url)


def measure_taskwright(options):
    rows = []
    for count in CONNECTIONS:
        # A store of its own for each: no figure depends on the one before.
        with taskwright(options) as system:
            rows.append(("Taskwright", count, rounds(system, count, options)))
            verbose = (get(f"{system.url}/readyz?verbose") or b"").decode()
    version = subprocess.run([options.binary, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    synced = [line for line in verbose.splitlines() if line.startswith("synchronous")]
    return rows, ["; ".join([f"{version}, {SLOTS} local slots", *synced])]


# ---- the table ------------------------------------------------------------------------------------------------------


def synced_write(folder):
    """The median time of a 4 KiB write with fdatasync, into blocks that are there already."""
    page, pages = b"\2" * 4096, 256
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(b"\1" * 4096 * pages)
        file.flush()
        os.fsync(file.fileno())
        times = []
        for write in range(200):
            began = time.perf_counter()
            os.pwrite(file.fileno(), page, write % pages * 4096)
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - began)
    return statistics.median(times)


def processor():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def per_second(value):
    return f"{float(f'{value:.3g}'):,.0f}/s"


def milliseconds(value):
    return f"{value * 1000:.2f} ms" if value < 0.01 else f"{value * 1000:.0f} ms"


def table(rows):
    lines = [
        "| | in flight | accepted (p50, p99) | until done | start and wait (p50) |",
        "|---|---:|---|---|---|",
    ]
    for name, count, row in rows:
        accepted = f"{per_second(row['accepted'])} ({milliseconds(row['p50'])}, {milliseconds(row['p99'])})" if "accepted" in row else "–"
        waited = f"{per_second(row['waited'])} ({milliseconds(row['wait_p50'])})" if "waited" in row else "–"
        lines.append(f"| {name} | {count} | {accepted} | {per_second(row['done'])} | {waited} |")
    return "\n".join(lines)


def bounded(kind, least, most):
    def parse(text):
        value = kind(text)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"from {least} to {most}")
        return value

    return parse


def main():
    measures = {"numerous": measure_numerous, "celery": measure_celery, "taskwright": measure_taskwright}
    parser = argparse.ArgumentParser(prog="benches/peers/run")
    parser.add_argument("--seconds", type=bounded(int, 1, 10), default=3)
    parser.add_argument("--rounds", type=bounded(int, 1, 9), default=3)
    parser.add_argument("--only", action="append", choices=list(measures))
    parser.add_argument("--binary", required=True)
    parser.add_argument("--folder", required=True)
    options = parser.parse_args()
    options.binary = os.path.abspath(options.binary)
    wanted = options.only or list(measures)
    if "taskwright" in wanted and not os.access(options.binary, os.X_OK):
        parser.error(f"{options.binary} is no program")
    if shutil.which("wrk") is None or shutil.which("redis-server") is None:
        parser.error("wrk or redis-server is missing: start it by benches/peers/run")

    busy = Path("/proc/loadavg").read_text().split()[0]
    syncs = [synced_write(options.folder)]
    rows, facts = [], []
    for name in wanted:
        say(name)
        more, about = measures[name](options)
        rows += more
        facts += about
        syncs.append(synced_write(options.folder))
    print(table(rows))
    print()
    print(
        f"{os.cpu_count()} cores ({processor()}), Linux {platform.release()}, shared with the client (load average before: "
        f"{busy}); a 4 KiB write with fdatasync took {min(syncs) * 1000:.2f} to "
        f"{max(syncs) * 1000:.2f} ms, before, between and after the systems; medians of {options.rounds} rounds of "
        f"{options.seconds} s; bodies of {BODY} bytes from wrk, kept-alive connections; wrk took {busiest:.2f} of a core at most"
    )
    for fact in facts:
        print(f"- {fact}")


def interrupted(number, _frame):
    raise SystemExit(128 + number)


if __name__ == "__main__":
    # Also where a shell started it in the background, with SIGINT ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, interrupted)
    try:
        main()
    except Broken as failure:
        sys.exit(f"peers: {failure}")
    except KeyboardInterrupt:
        sys.exit(130)
