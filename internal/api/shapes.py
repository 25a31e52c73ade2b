"""Generate mockshapes.gz, the shapes of the answers of AWS services, with which TestState checks mocked results.

It has one line per service: the service's names, a tab, and a JSON object (mockService in mockshape.go).

Usage: python shapes.py BOTOCORE_DATA_DIR > mockshapes.gz

The public service models are part of botocore (Apache License 2.0). For each service below, only the shapes of answers are
kept, with their types, bounds, enumerations and required members.
"""
import glob
import gzip
import json
import os
import sys

SERVICES = (
    "athena batch bedrock bedrock-runtime cloudformation cloudwatch codebuild codepipeline databrew dynamodb ecr ecs eks "
    "elasticache emr emr-containers emr-serverless events firehose glue kinesis kms lambda logs mediaconvert "
    "rds redshift-data route53 s3 sagemaker secretsmanager ses sesv2 sns sqs ssm stepfunctions sts"
).split()
# Names of services in Step Functions' resources that differ from the name of the model's directory.
ALIASES = {"stepfunctions": ["sfn", "states"], "events": ["eventbridge"], "emr": ["elasticmapreduce"]}
KINDS = {"string": "s", "blob": "s", "timestamp": "s", "character": "s", "integer": "n", "long": "n", "float": "n",
         "double": "n", "short": "n", "byte": "n", "bigdecimal": "n", "biginteger": "n", "boolean": "b", "list": "l",
         "map": "m", "structure": "o"}


def compact(model, name, out):
    if name in out:
        return
    shape = model["shapes"][name]
    kind = KINDS[shape["type"]]
    entry = {"k": kind}
    out[name] = entry
    for bound in ("min", "max"):
        if bound in shape and kind in "sn" and shape["type"] != "timestamp":
            entry[bound] = shape[bound]
    if "enum" in shape:
        entry["e"] = shape["enum"]
    if kind == "o":
        entry["f"] = {m: v["shape"] for m, v in shape["members"].items()}
        if shape.get("required"):
            entry["r"] = shape["required"]
    inner = list(entry.get("f", {}).values())
    if kind == "l":
        entry["i"] = shape["member"]["shape"]
    if kind == "m":
        entry["i"] = shape["value"]["shape"]
    if "i" in entry:
        inner.append(entry["i"])
    for other in inner:
        compact(model, other, out)


def service(directory):
    newest = max(glob.glob(os.path.join(directory, "*", "service-2.json.gz")))
    with gzip.open(newest) as f:
        model = json.load(f)
    shapes, actions = {}, {}
    for name, op in model["operations"].items():
        if "output" in op:
            actions[name] = op["output"]["shape"]
            compact(model, op["output"]["shape"], shapes)
    return {"actions": actions, "shapes": shapes}


def main():
    lines = []
    for name in SERVICES:
        path = os.path.join(sys.argv[1], name)
        names = ",".join([name, *ALIASES.get(name, [])])
        lines.append(names + "\t" + json.dumps(service(path), separators=(",", ":"), sort_keys=True) + "\n")
    sys.stdout.buffer.write(gzip.compress("".join(lines).encode(), 9, mtime=0))


main()
