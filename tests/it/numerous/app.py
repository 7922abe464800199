"""An app as its users write it: nothing here knows of Taskwright."""

import os
import signal
import sys
import time

from numerous.tasks import get_task_controller, get_task_inputs, task


@task
def add(a, b=1):
    get_task_controller().set_progress(0.25)
    print(f"adding {a} and {b}")
    return a + b


@task(name="Task Test")
def with_a_name(text, items):
    return {"text": text, "items": items, "nested": {"ü": [None, True, 1.5, {"deep": "né 日本 😀"}]}}


@task
def reports():
    controller = get_task_controller()
    for done in range(1, 5):
        controller.set_progress(done / 4)
        controller.set_output({"result": done, "of": 4})


@task
def reports_and_returns(task_controller):
    task_controller.set_output({"result": "so far", "kept": True})
    return "the end"


@task
def fails():
    raise ValueError("no such luck")


@task
def crashes():
    os.kill(os.getpid(), signal.SIGSEGV)


@task
def exits(code):
    sys.exit(code)


@task
def waits():
    get_task_controller().set_progress(0.5)
    print("waiting")
    time.sleep(600)


@task
def stops_itself():
    controller = get_task_controller()
    controller.request_stop()
    assert controller.should_stop()
    time.sleep(0.3)
    controller.set_output({"result": "so far"})
    return "done"


@task
def states_its_status():
    get_task_controller().set_status("failed")


@task
def returns_long_text(length):
    return "é" * length


@task
def echoes():
    return get_task_inputs()


@task
def returns_no_json():
    return {1, 2}
