"""The Celery application under test: a task that does nothing, a result that is kept."""

import os

from celery import Celery

broker = os.environ["PEERS_REDIS"]
# Results have a database of their own, so that its size is the number of tasks that are done.
app = Celery("peers", broker=f"{broker}/0", backend=f"{broker}/1")
app.conf.update(broker_connection_retry_on_startup=True, worker_hijack_root_logger=False)


@app.task(name="sleep")
def sleep(seconds):
    return {"slept": seconds}
