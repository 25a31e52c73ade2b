"""Access to what rayorch provides to a job: the run's directory on the pipeline's storage, and the file for the output.

It uses environment variables that rayorch sets for each step (docs/pipeline.md). If they are not set, because the script
was started manually, the directory is ./storage and the output is printed.
"""

import json
import os


def run_id():
    return os.environ.get("RAYORCH_RUN_ID", "by-hand")


def run_directory():
    """Return the directory of this run, which all its steps and attempts share."""
    return os.environ.get("RAYORCH_STORAGE", "storage")


def write_output(output):
    """Write the step's output. Later steps can refer to it, and it is part of the run's output."""
    text = json.dumps(output, ensure_ascii=False)
    path = os.environ.get("RAYORCH_OUTPUT")
    if path is None:
        print(text, flush=True)
        return
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def metric(step, **values):
    """Print metrics in the format that rayorch reads. Without flush, the line would be buffered until the job ends."""
    fields = " ".join(f"{name}={value:.4f}" for name, value in values.items())
    print(f"metric {fields} step={step}", flush=True)
