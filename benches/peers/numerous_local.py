"""Runs an empty task of numerous.tasks again and again: in this process, in memory. Prints one line of JSON.

usage: numerous_local.py IN_FLIGHT SECONDS
"""

import json
import sys
import threading
import time

from numerous.tasks import TaskStatus, get_task_instance, run_task, task


@task
def nothing(seconds):
    pass


def one_at_a_time(length):
    times = []
    began = now = time.perf_counter()
    while now < began + length:
        last = run_task(nothing.task_def, {"seconds": 0}, block=True)
        then, now = now, time.perf_counter()
        times.append(now - then)
    times.sort()
    return last, {"done": len(times), "seconds": now - began, "p50": times[len(times) // 2], "p99": times[len(times) * 99 // 100]}


def many_at_a_time(in_flight, length):
    room = threading.Semaphore(in_flight)
    started = 0
    began = time.perf_counter()
    while time.perf_counter() < began + length:
        room.acquire()
        last = run_task(nothing.task_def, {"seconds": 0})
        last.future.add_done_callback(lambda _: room.release())
        started += 1
    for _ in range(in_flight):
        room.acquire()
    return last, {"done": started, "seconds": time.perf_counter() - began}


in_flight, length = int(sys.argv[1]), float(sys.argv[2])
last, figures = one_at_a_time(length) if in_flight == 1 else many_at_a_time(in_flight, length)
if get_task_instance(last.id).status is not TaskStatus.COMPLETED:
    sys.exit("the last instance is not completed")
print(json.dumps(figures))
