"""Measure the overhead of running two trivial Ray jobs in a row with rayorch, two `ray job submit`, and a minimal REST loop.

The three methods take turns on one Ray. Wall time, CPU time and memory are those of the orchestrating processes (wait4). The
hand-over, from the end of the first job to the acceptance of the second, is computed from Ray's own records (end_time,
start_time). The script needs only the standard library. `make bench-overhead` runs it; see bench/overhead/README.md.
"""

import argparse
import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rayorch", default="bin/rayorch")
    parser.add_argument("--ray-address", help="http://HOST:8265 of a Ray without a token (default: start one)")
    parser.add_argument("--runs", type=int, default=10, help="number of runs of each method (default: 10)")
    parser.add_argument("--out", help="also write all figures as JSON to this file")
    args = parser.parse_args()
    args.rayorch = os.path.abspath(args.rayorch)
    return args


@contextlib.contextmanager
def ray(args, state):
    """Yield the address of a Ray: the one in the arguments, or a new one that is stopped after the measurement."""
    if args.ray_address:
        yield args.ray_address.rstrip("/")
        return
    own = [args.rayorch, "--state-dir", state, "--output", "json", "ray"]
    try:
        started = subprocess.run([*own, "start", "--no-token"], check=True, stdout=subprocess.PIPE, text=True).stdout
        yield json.loads(started)["state"]["address"].rstrip("/")
    finally:
        subprocess.run([*own, "stop"], check=True, stdout=subprocess.DEVNULL)


def get(address, path):
    with urllib.request.urlopen(address + path, timeout=60) as answer:
        return json.load(answer)


def measure(commands, env):
    """Run the commands one after another; return wall seconds, CPU seconds, and the largest resident set size in bytes."""
    start, cpu, rss = time.monotonic(), 0.0, 0
    for command in commands:
        with tempfile.TemporaryFile() as output:
            process = subprocess.Popen(command, env=env, stdout=output, stderr=subprocess.STDOUT)
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode:
                output.seek(0)
                sys.exit(f"{' '.join(command)} ended with {process.returncode}:\n{output.read().decode()}")
        cpu, rss = cpu + used.ru_utime + used.ru_stime, max(rss, used.ru_maxrss * 1024)
    return {"wall": time.monotonic() - start, "cpu": cpu, "rss": rss}


def run(address, commands, env):
    before = {job["submission_id"] for job in get(address, "/api/jobs/")}
    result = measure(commands, env)
    # Ray writes end_time a moment after the process of a job has ended. All three methods wait for it, so it is set here.
    jobs = [job for job in get(address, "/api/jobs/") if job["submission_id"] not in before]
    jobs.sort(key=lambda job: job["start_time"])
    if [job["status"] for job in jobs] != ["SUCCEEDED"] * 2:
        sys.exit(f"got the jobs {[(j['submission_id'], j['status']) for j in jobs]} in Ray, want two that SUCCEEDED")
    result["handover"] = (jobs[1]["start_time"] - jobs[0]["end_time"]) / 1000
    result["jobs"] = sum(job["end_time"] - job["start_time"] for job in jobs) / 1000
    return result


def methods(args, address, state):
    """Return the commands of each method, by its name in the table."""
    pipeline = os.path.join(HERE, "pipeline.yaml")
    rayorch = [args.rayorch, "--state-dir", state, "--output", "json", "run", pipeline, "--ray-address", address]
    submit = ["ray", "job", "submit", "--address", address, "--", "python", "-c", "1"]
    loop = [sys.executable, os.path.join(HERE, "loop.py"), address, "2"]
    return {"rayorch": [rayorch], "ray job submit": [submit, submit], "REST loop": [loop]}


def summary(runs):
    """Return the medians of the runs, and the longest hand-over."""
    figures = {name: statistics.median(r[name] for r in runs) for name in runs[0]}
    return {**figures, "handover_max": max(r["handover"] for r in runs), "runs": len(runs)}


def table(figures):
    least = figures["REST loop"]["wall"]
    yield "| medians | wall s | over the loop | hand-over s | worst | CPU s | max RSS MB |"
    yield "|---|---|---|---|---|---|---|"
    for name, f in figures.items():
        yield (
            f"| {name} | {f['wall']:.2f} | {100 * (f['wall'] / least - 1):+.1f} % | {f['handover']:.3f} "
            f"| {f['handover_max']:.3f} | {f['cpu']:.3f} | {f['rss'] / 1e6:.0f} |"
        )


def main():
    args = arguments()
    with tempfile.TemporaryDirectory(prefix="rayorch-bench-") as state, ray(args, state) as address:
        env = {**os.environ, "RAY_ADDRESS": address}
        commands = methods(args, address, state)
        for method in commands.values():
            run(address, method, env)  # warms up caches and the dashboard; not counted
        results = {name: [] for name in commands}
        for turn in range(args.runs):
            order = list(commands)
            for name in order[turn % 3 :] + order[: turn % 3]:
                results[name].append(run(address, commands[name], env))
            print(f"turn {turn + 1} of {args.runs}", file=sys.stderr, flush=True)
        release = get(address, "/api/version")["ray_version"]
    figures = {name: summary(runs) for name, runs in results.items()}
    print(f"Ray {release}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}, {args.runs} runs of each method\n")
    print("\n".join(table(figures)))
    if args.out:
        with open(args.out, "w", encoding="utf-8") as file:
            json.dump({"ray": release, "cores": os.cpu_count(), "medians": figures, "runs": results}, file, indent=1)


if __name__ == "__main__":
    main()
