"""Estimates pi on Ray and writes a "model" (the estimate) to the pipeline's storage."""

import argparse
import json
import os
import pathlib
import random

import ray


@ray.remote(num_cpus=0.5)
def hits(seed, samples):
    draw = random.Random(seed).random
    return sum(draw() ** 2 + draw() ** 2 < 1 for _ in range(samples))


parser = argparse.ArgumentParser()
parser.add_argument("--samples", type=int, required=True)
parser.add_argument("--tasks", type=int, required=True)
args = parser.parse_args()

ray.init()
share = -(-args.samples // args.tasks)
pending = [hits.remote(seed, share) for seed in range(args.tasks)]
inside = 0
for done, task in enumerate(pending, start=1):
    inside += ray.get(task)
    print(f"metric pi={4 * inside / (share * done):.5f} step={done}", flush=True)

# RAYORCH_STORAGE is the directory of this run, which its steps share.
model = pathlib.Path(os.environ["RAYORCH_STORAGE"], "model.json")
model.write_text(json.dumps({"pi": 4 * inside / (share * args.tasks)}))

# The step's output is the content of the file RAYORCH_OUTPUT.
pathlib.Path(os.environ["RAYORCH_OUTPUT"]).write_text(json.dumps({"model": str(model)}))
