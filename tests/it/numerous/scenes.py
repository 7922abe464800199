"""Runs one scene in platform mode, as a program that uses the package would, and prints what it has seen as JSON."""

import base64
import json
import sys
import time

import app
from numerous.tasks import (
    TaskInstanceNotFoundError,
    get_task_definition,
    get_task_instance,
    list_task_definitions,
    list_task_instances,
    stop_task_instance,
    wait_for_completion,
)
from numerous.tasks import executor

# The package hides this module behind the function of the same name.
task = sys.modules["numerous.tasks.task"]
# Theirs is five seconds: the same, in less time.
task._get_executor()._poll_interval = 0.05


def told(instance):
    """Everything that a user of the package can see of an instance."""
    return {
        "id": instance.id,
        "task_id": instance.task_id,
        "status": instance.get_status().value,
        "progress": instance.get_progress(),
        "inputs": instance.inputs,
        "output": instance.get_output(),
        "result": instance.result,
        "error": str(instance.error) if instance.error else None,
        "workload": instance.workload.value,
        "created_at": instance.created_at.isoformat(),
        "is_done": instance.is_done(),
    }


def until(what, ask):
    """The first true answer."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        answer = ask()
        if answer:
            return answer
        time.sleep(0.02)
    raise TimeoutError(what)


def finished(instance):
    """The instance as the platform tells it once it is done."""
    wait_for_completion(instance)
    return told(get_task_instance(instance.id))


def scene_calls():
    """Each task, started by a call of its function."""
    long = app.returns_long_text(200_000)
    started = {
        "add": app.add(2, b=40),
        "default": app.add(1),
        "named": app.with_a_name("é \"\\\n日本 😀", [1, 2.5, None, {"a": [True]}]),
        "reports": app.reports(),
        "both": app.reports_and_returns(),
        "fails": app.fails(),
        "crashes": app.crashes(),
        "exits": app.exits(3),
        "stops_itself": app.stops_itself(),
        "status": app.states_its_status(),
        "echoes": app.echoes(),
        "no_json": app.returns_no_json(),
    }
    seen = {name: finished(instance) for name, instance in started.items()}
    wait_for_completion(long)
    seen["long"] = [len(long.result), set(long.result) == {"é"}]
    seen["waited"] = wait_for_completion(started["add"])
    return seen


def scene_stops():
    """A running one, stopped by its id and by itself."""
    by_id, by_method = app.waits(), app.waits()
    for instance in (by_id, by_method):
        until("half", lambda: get_task_instance(instance.id).get_progress() == 0.5)
    running = told(get_task_instance(by_id.id))
    stop_task_instance(by_id.id)
    # What a call returned has no controller in platform mode: its own stop() does nothing.
    by_method.stop()
    assert get_task_instance(by_method.id).get_status().value == "running"
    get_task_instance(by_method.id).stop()
    ended = [finished(by_id), finished(by_method)]
    # Once more changes nothing.
    stop_task_instance(by_id.id)
    return {"running": running, "ended": ended, "again": told(get_task_instance(by_id.id))}


def scene_twelve():
    """Twelve at once, each with its own result."""
    instances = [app.add(n, b=100) for n in range(12)]
    return [wait_for_completion(instance) for instance in instances]


def scene_lists():
    """What is listed, and what is unknown."""
    definitions = list_task_definitions()
    first, second = app.add(1), app.add(2)
    wait_for_completion(first)
    wait_for_completion(second)
    lost = None
    try:
        state = task.create_task_instance(app.add.task_def, {})
        future = executor.Future()
        task._get_executor()._poll_completion("00000000-0000-7000-8000-000000000000", future, state)
        future.result()
    except TaskInstanceNotFoundError as error:
        lost = error.instance_id
    unknown = None
    try:
        task.run_task(task.create_task_definition(lambda: None, name="no-such-task"), {})
    except Exception as error:
        unknown = f"{type(error).__name__}: {error}"
    return {
        "definitions": [[definition.id, definition.name, definition.command] for definition in definitions],
        "definition": get_task_definition("add").name,
        "no_definition": get_task_definition("nothing"),
        "ids": [first.id, second.id],
        "listed": [told(instance) for instance in list_task_instances("add")],
        "by_function": app.add.list_instances(),
        "no_instance": [get_task_instance(id) for id in ("00000000-0000-7000-8000-000000000000", "no id", "")],
        "lost": lost,
        "unknown": unknown,
    }


def scene_text():
    """An instance that the command line started with text that is no JSON object."""
    return told(get_task_instance(sys.argv[2]))


print(json.dumps(globals()["scene_" + sys.argv[1]]()))
