"""A minimal loop that runs jobs in a row over Ray's REST API: submit a job, poll its status ten times a second, submit the next.

Arguments: the address of Ray, and the number of jobs.
"""

import json
import sys
import time
import urllib.request

ADDRESS, JOBS = sys.argv[1], int(sys.argv[2])


def call(path, body=None):
    data = json.dumps(body).encode() if body else None
    request = urllib.request.Request(ADDRESS + path, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


for _ in range(JOBS):
    job = call("/api/jobs/", {"entrypoint": "python -c 1"})["submission_id"]
    while (status := call(f"/api/jobs/{job}")["status"]) not in ("SUCCEEDED", "FAILED", "STOPPED"):
        time.sleep(0.1)
    if status != "SUCCEEDED":
        sys.exit(f"job {job}: {status}")
