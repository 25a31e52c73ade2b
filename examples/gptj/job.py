"""What rayorch gives a job, in one place: the run's directory on the pipeline's storage, and the file for its output.

Every name is an environment variable that rayorch sets for each step (docs/pipeline.md). Without them, so when a script
is run by hand, the directory is ./storage and the output goes to the terminal.
"""

import json
import os


def run_id():
    return os.environ.get("RAYORCH_RUN_ID", "by-hand")


def run_directory():
    """The directory that is this run's own: all its steps and attempts see it."""
    return os.environ.get("RAYORCH_STORAGE", "storage")


def write_output(output):
    """Hand the step's output back: later steps refer to it, and it becomes part of the run's output."""
    text = json.dumps(output, ensure_ascii=False)
    path = os.environ.get("RAYORCH_OUTPUT")
    if path is None:
        print(text, flush=True)
        return
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def metric(step, **values):
    """Print a line that rayorch reads as metrics. Flushed, as a job's output is a file and would come at its end."""
    fields = " ".join(f"{name}={value:.4f}" for name, value in values.items())
    print(f"metric {fields} step={step}", flush=True)
