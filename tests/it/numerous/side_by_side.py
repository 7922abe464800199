"""Runs each task of `twenty.py` and prints what a program that uses the package sees of its end, as JSON by name.

Alone it runs them in the package's local mode, with NUMEROUS_EXECUTOR on a platform.
"""

import json
import os
import sys
import time

import twenty
from numerous.tasks import get_task_instance

# Four tasks at once run in local mode; the daemon is configured so too.
WORKERS = 4

if os.environ.get("NUMEROUS_EXECUTOR"):
    # Theirs is five seconds: the same, in less time.
    sys.modules["numerous.tasks.task"]._get_executor()._poll_interval = 0.05


def until(ask):
    deadline = time.monotonic() + 30
    while not (answer := ask()):
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.01)
    return answer


def seen_of(instance):
    """What is seen once it is done."""
    until(lambda: get_task_instance(instance.id).is_done())
    until(instance.future.done)
    end = get_task_instance(instance.id)
    return {
        "status": end.get_status().value,
        "progress": end.get_progress(),
        "output": end.get_output() or None,
        "result": end.result,
        "raised": type(error).__name__ if (error := instance.future.exception()) else None,
    }


def stopped(instance):
    """Stops it once it has said that it is half way."""
    until(lambda: get_task_instance(instance.id).get_progress() == 0.5)
    get_task_instance(instance.id).stop()
    return seen_of(instance)


def queued():
    """One that is stopped while all workers have others to do."""
    others = [twenty.ignores_a_stop() for _ in range(WORKERS)]
    for other in others:
        until(lambda: get_task_instance(other.id).get_progress() == 0.5)
    last = twenty.waits_in_the_queue()
    get_task_instance(last.id).stop()
    seen = seen_of(last)
    for other in others:
        seen_of(other)
    return seen


seen = {}
for name, function in list(vars(twenty).items()):
    if not hasattr(function, "task_def"):
        continue
    if name == "waits_in_the_queue":
        seen[name] = queued()
    elif name in ("obeys_a_stop", "ignores_a_stop"):
        seen[name] = stopped(function())
    elif name == "returns_a_number":
        seen[name] = seen_of(function(40, b=2))
    elif name == "reads_its_inputs":
        seen[name] = seen_of(function(twenty.TEXT))
    else:
        seen[name] = seen_of(function())
print(json.dumps(seen))
