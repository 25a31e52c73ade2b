"""Train the character model on the plays, with data parallelism on Ray.

In each step, every worker computes the gradient of its own batch. The driver averages the gradients and updates the
parameters. Batches depend only on seed, step and worker, so that a run that resumes from a checkpoint ends with the same
model as a run without interruption.
"""

import argparse
import glob
import os
import signal
import sys
import time

import charlm  # before numpy: it limits the threads of NumPy's BLAS
import checkpoint
import job
import numpy as np
import ray

HERE = os.path.dirname(os.path.abspath(__file__))


def arguments(argv):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--batch", type=int, default=2048, help="characters per step, for all workers together")
    parser.add_argument("--learning-rate", type=float, default=0.005)
    parser.add_argument("--checkpoint-every", type=int, default=100, help="steps")
    parser.add_argument("--report-every", type=int, default=25, help="steps")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--data", default=os.path.join(HERE, "data"), help="a directory with .txt files")
    parser.add_argument("--fail-at", type=int, default=0, help="fail at this step in the first attempt, to test a retry")
    return parser.parse_args(argv)


def read_text(directory):
    paths = sorted(glob.glob(os.path.join(directory, "*.txt")))
    if not paths:
        sys.exit(f"no .txt file in {directory}: set a directory with texts with --data")
    texts = []
    for path in paths:
        with open(path, encoding="utf-8") as file:
            texts.append(file.read())
    return "\n".join(texts)


@ray.remote(max_restarts=-1, max_task_retries=-1)
class Worker:
    """A worker. It has no state between steps, so that Ray can restart it on any node."""

    def __init__(self, config, size, seed, rank):
        self.model, self.size, self.seed, self.rank = charlm.Model(**config), size, seed, rank

    def gradient(self, flat, text, step):
        random = np.random.default_rng((self.seed, step, self.rank))
        return self.model.gradient(flat, *charlm.batch(text, self.model.context, self.size, random))


def start_workers(args, model):
    have = ray.cluster_resources().get("CPU", 0)
    cpus = 1.0
    if 0 < have < args.workers:  # train slowly on a small cluster instead of waiting forever for CPUs
        cpus = int(100 * have / args.workers) / 100
        print(f"{args.workers} workers share {have:g} CPUs", flush=True)
    worker, size = Worker.options(num_cpus=cpus), max(1, args.batch // args.workers)
    return [worker.remote(model.config(), size, args.seed, rank) for rank in range(args.workers)]


class Training:
    """The state of the training, which checkpoints contain, and the training step."""

    def __init__(self, args, vocabulary, checkpoints):
        self.args, self.vocabulary, self.checkpoints = args, vocabulary, checkpoints
        self.model = charlm.Model(len(vocabulary))
        self.flat, moments = self.model.initial(args.seed), None
        self.step, self.first_loss, self.loss, self.path = 0, None, None, None
        self.resumed_at = 0
        found = checkpoints.newest()
        if found:
            moments = self._resume(*found)
        self.adam = charlm.Adam(self.model.size, args.learning_rate, args.steps, moments)

    def _resume(self, path, arrays, facts):
        if facts["run"] != job.run_id():
            sys.exit(f"{path} is from run {facts['run']}, this is run {job.run_id()}: use another storage directory")
        if facts["model"] != self.model.config() or facts["characters"] != self.vocabulary.characters:
            sys.exit(f"{path} is from another model or text: delete it, or start another run")
        self.path, self.step, self.flat = path, facts["step"], arrays["parameters"]
        self.first_loss, self.loss, self.resumed_at = facts["first_loss"], facts["loss"], facts["step"]
        print(f"attempt {job.attempt()} resumes from {path}, step {self.step}", flush=True)
        return arrays["m"], arrays["v"]

    def advance(self, workers, text):
        """Run one step with the average of all workers' gradients on text, which is in Ray's object store."""
        flat = ray.put(self.flat)
        results = ray.get([worker.gradient.remote(flat, text, self.step + 1) for worker in workers])
        self.step += 1
        self.loss = float(np.mean([loss for loss, _ in results]))
        self.first_loss = self.loss if self.first_loss is None else self.first_loss
        self.flat = self.adam.update(self.flat, np.mean([gradient for _, gradient in results], axis=0), self.step)

    def save(self):
        arrays = {"parameters": self.flat, "m": self.adam.m, "v": self.adam.v}
        facts = {
            "run": job.run_id(),
            "model": self.model.config(),
            "characters": self.vocabulary.characters,
            "first_loss": self.first_loss,
            "loss": self.loss,
        }
        self.path = self.checkpoints.save(self.step, arrays, facts)


class Stop:
    """Records a SIGTERM. Ray kills a job three seconds after this signal."""

    def __init__(self):
        self.requested = False
        signal.signal(signal.SIGTERM, self._request)

    def _request(self, *_):
        self.requested = True


def run(training, text, validate, stop):
    args, workers, shared = training.args, start_workers(training.args, training.model), ray.put(text)
    since, at = time.monotonic(), training.step
    while training.step < args.steps and not stop.requested:
        training.advance(workers, shared)
        if training.step % args.report_every == 0 or training.step in (1, args.steps):
            rate = args.batch * (training.step - at) / (time.monotonic() - since)
            job.metric(training.step, loss=training.loss, validation=validate(training.flat), chars_per_second=rate)
            since, at = time.monotonic(), training.step
        if training.step % args.checkpoint_every == 0 or training.step == args.steps:
            training.save()
        if training.step == args.fail_at and job.attempt() == "1":
            sys.exit(f"failing at step {training.step} because of --fail-at")


def main(argv=None):
    args = arguments(argv)
    text = read_text(args.data)
    vocabulary = charlm.Vocabulary(text)
    encoded = vocabulary.encode(text)
    cut = int(0.95 * len(encoded))  # the last 5 % are for validation

    ray.init(logging_level="warning")
    stop = Stop()  # after ray.init, which sets its own handler
    training = Training(args, vocabulary, checkpoint.Checkpoints(os.path.join(job.run_directory(), "checkpoints")))
    model = training.model
    held_out = charlm.batch(encoded[cut:], model.context, 2048, np.random.default_rng(0))
    print(f"{len(text)} characters, {model.size} parameters, {args.workers} workers", flush=True)

    run(training, encoded[:cut], lambda flat: model.loss(flat, *held_out), stop)
    if stop.requested and training.step < args.steps:
        training.save()
        print(f"stopped: step {training.step} is in {training.path}", flush=True)
        sys.exit(143)
    job.write_output(
        {
            "checkpoint": training.path,
            "steps": training.step,
            "first_loss": round(training.first_loss, 4),
            "loss": round(training.loss, 4),
            "validation_loss": round(model.loss(training.flat, *held_out), 4),
            "resumed_at": training.resumed_at,
        }
    )


if __name__ == "__main__":
    main()
