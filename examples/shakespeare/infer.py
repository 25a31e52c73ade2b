"""Generate text with the latest checkpoint of this run, in one Ray task per prompt."""

import argparse
import os
import sys

import charlm  # before numpy: it limits the threads of NumPy's BLAS
import checkpoint
import job
import ray


def arguments(argv):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompts", default="HAMLET.\n|Rom.\n", help="prompts, separated by |")
    parser.add_argument("--length", type=int, default=300, help="characters to generate per prompt")
    parser.add_argument("--temperature", type=float, default=0.7)
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args(argv)


def newest_of_this_run():
    directory = os.path.join(job.run_directory(), "checkpoints")
    found = checkpoint.Checkpoints(directory).newest()
    if found is None:
        sys.exit(f"no checkpoint in {directory}: run train.py with the same RAYORCH_STORAGE and RAYORCH_RUN_ID first")
    path, arrays, facts = found
    if facts["run"] != job.run_id():
        sys.exit(f"{path} is from run {facts['run']}, this is run {job.run_id()}")
    return path, arrays["parameters"], facts


@ray.remote(num_cpus=0.5)
def write(config, characters, flat, prompt, args, seed):
    model, vocabulary = charlm.Model(**config), charlm.Vocabulary(characters)
    return charlm.generate(model, flat, vocabulary, prompt, args.length, args.temperature, seed)


def main(argv=None):
    args = arguments(argv)
    path, flat, facts = newest_of_this_run()
    print(f"generating with {path}, step {facts['step']}", flush=True)

    ray.init(logging_level="warning")
    prompts, shared = args.prompts.replace("\\n", "\n").split("|"), ray.put(flat)
    tasks = [
        write.remote(facts["model"], facts["characters"], shared, prompt, args, args.seed + number)
        for number, prompt in enumerate(prompts)
    ]
    texts = ray.get(tasks)
    for text in texts:
        print(f"--\n{text}", flush=True)
    job.write_output(
        {
            "checkpoint": path,
            "run": facts["run"],
            "step": facts["step"],
            "texts": [{"prompt": prompt, "text": text} for prompt, text in zip(prompts, texts, strict=True)],
        }
    )


if __name__ == "__main__":
    main()
