"""Measures what the second door costs: `taskStart` against a start over REST, and `@task` functions against the same
command started over REST. `run` installs what it needs and starts it.
"""

import argparse
import base64
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

STARTS = 1000
TASKS = 200
# Nothing takes longer unless something is broken.
PATIENCE = 300

APP = '''
from numerous.tasks import task


@task
def empty():
    pass
'''

CONFIG = '''
[[tasks]]
name = "empty"
command = "numerous-executor app.py"
'''


@contextlib.contextmanager
def daemon(binary, folder):
    """A daemon on a store of its own. Answers its address."""
    (folder / "app.py").write_text(APP)
    (folder / "taskwright.toml").write_text(CONFIG)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = [binary, "serve", "--listen", "127.0.0.1:0", "--log-format", "json", "--config", folder / "taskwright.toml"]
    command += ["--database", f"sqlite://{folder}/taskwright.db"]
    with open(folder / "log", "w+") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, "PATH": path})
        try:
            deadline = time.monotonic() + 10
            while True:
                said = (folder / "log").read_text()
                listening = [json.loads(line)["url"] for line in said.splitlines() if '"url"' in line]
                if listening:
                    break
                if process.poll() is not None or time.monotonic() > deadline:
                    sys.exit(f"the daemon does not listen: {said}")
                time.sleep(0.01)
            yield listening[0]
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


class Client:
    """The package's own client, its only connection, and REST over the same one."""

    def __init__(self, url):
        os.environ |= {
            "NUMEROUS_API_URL": f"{url}/query",
            "NUMEROUS_API_ACCESS_TOKEN": "any",
            "NUMEROUS_ORGANIZATION_ID": "organization",
            "NUMEROUS_DEPLOYMENT_ID": "deployment",
        }
        from numerous._client.factory import graphql_client_from_env

        self.url = url
        self.package = graphql_client_from_env()
        self.http = self.package._gql.http_client
        self.loop = self.package._loop

    def ask(self, method, path, body=None):
        answer = self.loop.await_coro(self.http.request(method, self.url + path, json=body))
        answer.raise_for_status()
        return answer.json()

    def start(self, task, inputs):
        """By the package."""
        text = base64.b64encode(json.dumps(inputs).encode()).decode()
        return self.package.task_start("organization", "deployment", task, text).id

    def start_over_rest(self, task, inputs):
        return self.ask("POST", f"/v1/definitions/{task}/instances", inputs)["id"]

    def done(self, task):
        """Every instance of the task, once all are done."""
        deadline = time.monotonic() + PATIENCE
        while self.ask("GET", f"/v1/instances?task_id={task}&status=pending,running&limit=1")["instances"]:
            if time.monotonic() > deadline:
                sys.exit("they do not end")
            time.sleep(0.1)
        return self.ask("GET", f"/v1/instances?task_id={task}&limit={TASKS}")["instances"]


def rate(start, task, inputs):
    """Starts a second, one after the other."""
    began = time.perf_counter()
    for _ in range(STARTS):
        start(task, inputs)
    return STARTS / (time.perf_counter() - began)


def span(client, start):
    """Seconds from the first start to the last end."""
    ids = {start("empty", {}) for _ in range(TASKS)}
    ours = [instance for instance in client.done("empty") if instance["id"] in ids]
    if len(ours) != TASKS or any(instance["status"] != "completed" for instance in ours):
        sys.exit(f"not all of {TASKS} are completed")
    at = lambda name: [datetime.fromisoformat(instance[name].replace("Z", "+00:00")) for instance in ours]
    return (max(at("finished_at")) - min(at("created_at"))).total_seconds()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", required=True)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    doors = {"REST": "start_over_rest", "/query": "start"}
    starts, spans = {door: [] for door in doors}, {door: [] for door in doors}
    with tempfile.TemporaryDirectory() as folder, daemon(options.binary, Path(folder)) as url:
        client = Client(url)
        for _ in range(options.rounds):
            for door, start in doors.items():
                starts[door].append(rate(getattr(client, start), "sleep", {"seconds": 0}))
        for _ in range(options.rounds):
            for door, start in doors.items():
                spans[door].append(span(client, getattr(client, start)))
    share = statistics.median(starts["/query"]) / statistics.median(starts["REST"])
    times = statistics.median(spans["/query"]) / statistics.median(spans["REST"])
    row = lambda values, form: " | ".join(form.format(statistics.median(values[door])) for door in doors)
    print("| | REST | /query | ratio | floor |")
    print("|---|---|---|---|---|")
    print(f"| starts/s, one connection, the package's client | {row(starts, '{:.0f}')} | {share:.2f} | ≥ 0.5 |")
    print(f"| seconds for {TASKS} empty `@task`s | {row(spans, '{:.1f}')} | {times:.2f} | ≤ 1.2 |")
    return 0 if share >= 0.5 and times <= 1.2 else 1


if __name__ == "__main__":
    sys.exit(main())
