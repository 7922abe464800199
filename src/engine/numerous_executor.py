"""Calls one @task function of a file: what `numerous-executor FILE` runs inside Taskwright.

Arguments: the file, and the name of the task. The inputs are in TASKWRIGHT_INPUT_FILE; what the function returns goes to
TASKWRIGHT_OUTPUT_FILE as `{"result": …}`, beside what it has set with set_output().
"""

import asyncio
import importlib.machinery
import importlib.util
import inspect
import json
import os
import sys
import traceback


def fail(message):
    """Ends with one line that says what to do."""
    sys.exit(f"numerous-executor: {message}")


def tasks_of(path):
    """Imports the file and answers its @task functions by name."""
    found = {}
    original = tasks.task

    # Inside a task the decorator of the package keeps no name, so it is noted here.
    def task(func=None, *, name=None, app_id=None):
        def decorate(f):
            wrapper = original(f, name=name, app_id=app_id)
            found[name or f.__name__] = wrapper
            return wrapper

        return decorate if func is None else decorate(func)

    tasks.task = sys.modules["numerous.tasks.task"].task = task
    folder, file = os.path.split(os.path.abspath(path))
    # As if the file had been started itself: its folder in place of this program's.
    sys.path[0] = folder
    sys.argv = [path]
    module_name = os.path.splitext(file)[0]
    if not os.path.isfile(path):
        fail(f"there is no Python file {path!r} in {os.getcwd()}")
    # Named, for a file may have another suffix than `.py`, or none.
    loader = importlib.machinery.SourceFileLoader(module_name, os.path.join(folder, file))
    spec = importlib.util.spec_from_loader(module_name, loader)
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    spec.loader.exec_module(module)
    return found


def inputs_of():
    """The inputs, also where they are too large for a variable."""
    text = os.environ.get("TASK_DATA_INPUT")
    if text is None:
        with open(os.environ["TASKWRIGHT_INPUT_FILE"], encoding="utf-8") as file:
            context._current_inputs.set(json.load(file))
    return context.get_task_inputs()


def arguments(function, inputs):
    """The inputs as keyword arguments of the function."""
    arguments = dict(inputs)
    parameters = inspect.signature(function).parameters
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    # Text that is no JSON object has no names: who does not take it reads it with get_task_inputs().
    if list(arguments) == ["_raw"] and "_raw" not in parameters and not takes_any:
        arguments = {}
    if "task_controller" in parameters:
        arguments.setdefault("task_controller", tasks.get_task_controller())
    return arguments


def store(result):
    """Leaves the returned value for the daemon, which commits it with the end of the instance."""
    if result is None:
        return
    controller = context._current_controller.get()
    output = getattr(getattr(controller, "_state", None), "output", None) or {}
    try:
        text = json.dumps({**output, "result": result}, allow_nan=False, ensure_ascii=False).encode()
    except (TypeError, ValueError) as error:
        fail(f"what the task returned cannot be written as JSON: {error}")
    with open(os.environ["TASKWRIGHT_OUTPUT_FILE"], "wb") as file:
        file.write(text)


def run(path, name):
    """Calls the task, and stores what it returns."""
    found = tasks_of(path)
    if name not in found:
        known = ", ".join(sorted(found)) or "none"
        fail(f"{path} has no @task function {name!r}; it has {known}")
    function = found[name]
    result = function(**arguments(function, inputs_of()))
    if inspect.iscoroutine(result):
        result = asyncio.run(result)
    store(result)


def main():
    """Reads the arguments, and tells an exception without the frames of this file."""
    if len(sys.argv) != 3:
        fail("give one Python file: numerous-executor FILE")
    try:
        run(sys.argv[1], sys.argv[2])
    except Exception as error:
        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
            trace = trace.tb_next
        sys.stdout.flush()
        traceback.print_exception(type(error), error, trace)
        sys.exit(1)


if __name__ == "__main__":
    try:
        from numerous import tasks
        from numerous.tasks import context
    except ImportError as error:
        fail(f"{sys.executable} cannot import the package numerous ({error}): {sys.executable} -m pip install numerous")
    main()
