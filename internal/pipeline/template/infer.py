"""Reads the model that the previous step wrote, and returns an answer as the step's output."""

import argparse
import json
import os
import pathlib

parser = argparse.ArgumentParser()
parser.add_argument("--greeting", required=True)
parser.add_argument("--model", required=True)
args = parser.parse_args()

pi = json.loads(pathlib.Path(args.model).read_text())["pi"]
answer = f"{args.greeting} {pi:.4f}"
print(answer)
pathlib.Path(os.environ["RAYORCH_OUTPUT"]).write_text(json.dumps({"answer": answer}))
