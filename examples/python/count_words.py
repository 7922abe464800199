"""A task in Python: counts the words of the files in a folder.

Nothing to install. Inputs come from a file, print() is the log, progress goes to the daemon over HTTP, the output is
left in a file. In the configuration:

    [[tasks]]
    name = "count-words"
    command = ["python3", "count_words.py"]
"""

import json
import os
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

INSTANCE = f"{os.environ['TASKWRIGHT_URL']}/v1/instances/{os.environ['NUMEROUS_TASK_INSTANCE_ID']}"


def report(progress: float, message: str) -> bool:
    """Tells the daemon how far we are; answers whether to stop."""
    request = urllib.request.Request(
        f"{INSTANCE}/progress",
        data=json.dumps({"progress": progress, "message": message}).encode(),
        headers={
            "Authorization": f"Bearer {os.environ['TASKWRIGHT_TOKEN']}",
            "Content-Type": "application/json",
        },
        method="PUT",
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as reply:
            return json.load(reply)["should_stop"]
    except urllib.error.HTTPError as refusal:
        if refusal.code == 409:  # the attempt is over: whatever we do now lands nowhere
            return True
        raise


def main() -> int:
    inputs = json.loads(Path(os.environ["TASKWRIGHT_INPUT_FILE"]).read_text())
    folder = Path(inputs["folder"])
    pause = inputs.get("pause", 0)  # seconds between two files, so that there is something to watch
    files = sorted(folder.rglob(inputs.get("pattern", "*.rs")))
    words = 0
    told = 0.0
    for done, file in enumerate(files, start=1):
        count = len(file.read_text(encoding="utf-8", errors="replace").split())
        words += count
        print(f"{file.relative_to(folder)}: {count} words")
        time.sleep(pause)
        if done / len(files) >= told + 0.05 or done == len(files):
            told = round(done / len(files), 3)
            if report(told, f"{done} of {len(files)} files"):
                print("told to stop", file=sys.stderr)
                return 1
    Path(os.environ["TASKWRIGHT_OUTPUT_FILE"]).write_text(json.dumps({"files": len(files), "words": words}))
    return 0


sys.exit(main())
