"""Twenty small tasks, each of which does one thing."""

import time

from numerous.tasks import get_task_controller, get_task_inputs, task

TEXT = "é \"\\\n日本 😀"


@task
def returns_a_number(a, b=1):
    return a + b


@task
def returns_nothing():
    pass


@task
def reads_its_inputs(text, number=None):
    get_task_controller().set_output({"result": get_task_inputs()})


@task
def sets_its_output():
    get_task_controller().set_output({"result": 7, "rows": [1, None, 2.5]})


@task
def sets_an_output_without_result():
    get_task_controller().set_output({"rows": 3})


@task
def sets_its_output_twice():
    get_task_controller().set_output({"result": 1, "first": True})
    get_task_controller().set_output({"result": 2})


@task
def sets_its_output_and_returns():
    get_task_controller().set_output({"result": 1, "kept": True})
    return 2


@task
def sets_unicode():
    get_task_controller().set_output({"result": {TEXT: [TEXT, {"ü": None}]}})


@task
def takes_the_controller(task_controller):
    task_controller.set_output({"result": task_controller.should_stop()})


@task
def sets_progress():
    for step in range(1, 4):
        get_task_controller().set_progress(step / 4)


@task
def sets_progress_too_high():
    get_task_controller().set_progress(1.5)


@task
def raises():
    raise ValueError("no such luck")


@task
def sets_its_output_and_raises():
    get_task_controller().set_progress(0.5)
    get_task_controller().set_output({"result": "half"})
    raise ValueError("no such luck")


@task
def sets_its_status():
    get_task_controller().set_status("failed")


@task
def calls_another_task():
    inner = returns_a_number(40, b=2)
    get_task_controller().set_output({"result": type(inner).__name__})


@task
def stops_itself():
    get_task_controller().request_stop()
    get_task_controller().set_output({"result": get_task_controller().should_stop()})


@task
def stops_itself_and_raises():
    get_task_controller().request_stop()
    raise ValueError("no such luck")


@task
def obeys_a_stop():
    get_task_controller().set_output({"result": "begun"})
    get_task_controller().set_progress(0.5)
    while not get_task_controller().should_stop():
        time.sleep(0.01)


@task
def ignores_a_stop():
    get_task_controller().set_output({"result": "begun"})
    get_task_controller().set_progress(0.5)
    time.sleep(1)
    get_task_controller().set_output({"result": "ended"})


@task
def waits_in_the_queue():
    get_task_controller().set_output({"result": "ran"})
