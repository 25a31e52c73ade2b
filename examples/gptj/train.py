"""Fine-tune a causal language model (default: GPT-J 6B) on Shakespeare with Ray Train, and on GPUs with DeepSpeed ZeRO 3.

Each epoch ends with a checkpoint on the run's storage. A retried attempt uses the same Ray Train run, which resumes from
the latest checkpoint.
"""

import argparse
import os
import tempfile
import time

import job
import lm
import ray
import ray.train
import ray.train.torch
import torch


def arguments(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", default="EleutherAI/gpt-j-6b", help="name or directory of a model, or tiny")
    parser.add_argument("--text", default=lm.TINY_SHAKESPEARE, help="a file, a directory with .txt files, or a URL")
    parser.add_argument("--workers", type=int, default=16)
    parser.add_argument("--gpus", type=int, default=1, help="GPUs per worker; 0 trains on CPUs, without DeepSpeed")
    parser.add_argument("--cpus", type=int, default=8, help="CPUs per worker")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--batch", type=int, default=16, help="blocks per worker and step")
    parser.add_argument("--block", type=int, default=512, help="tokens per block")
    parser.add_argument("--learning-rate", type=float, default=2e-5)
    parser.add_argument("--offload", choices=["true", "false"], default="true", help="optimizer and parameters in host memory")
    parser.add_argument("--max-steps", type=int, default=0, help="maximum steps per epoch; 0 means all")
    return parser.parse_args(argv)


def deepspeed_config(args):
    offload = {"device": "cpu", "pin_memory": True} if args.offload == "true" else {"device": "none"}
    return {
        "train_micro_batch_size_per_gpu": args.batch,
        "gradient_clipping": 1.0,
        "bf16": {"enabled": True},
        "optimizer": {"type": "AdamW", "params": {"lr": args.learning_rate, "betas": [0.9, 0.999], "eps": 1e-8}},
        "zero_optimization": {
            "stage": 3,
            "offload_optimizer": offload,
            "offload_param": offload,
            "overlap_comm": True,
            "contiguous_gradients": True,
            "stage3_gather_16bit_weights_on_model_save": True,
        },
    }


class DeepSpeed:
    """Trains a model that is too large for a GPU: ZeRO 3 partitions parameters, gradients and optimizer states."""

    def __init__(self, args):
        import deepspeed
        from transformers.integrations import HfDeepSpeedConfig

        config = deepspeed_config(args)
        self._alive = HfDeepSpeedConfig(config)  # while it exists, new models are partitioned over the workers
        model = lm.model(args.model, torch.bfloat16)
        model.gradient_checkpointing_enable()
        self.model = model
        self.engine, *_ = deepspeed.initialize(model=model, config=config, model_parameters=model.parameters())
        self.device = self.engine.device

    def step(self, batch):
        loss = self.engine(input_ids=batch, labels=batch, use_cache=False).loss
        self.engine.backward(loss)
        self.engine.step()
        return loss.item()

    def save(self, directory):
        self.engine.save_checkpoint(os.path.join(directory, "engine"))
        self.engine.save_16bit_model(directory, lm.WEIGHTS)

    def load(self, directory):
        self.engine.load_checkpoint(os.path.join(directory, "engine"))


class Plain:
    """Trains a model on CPUs, with PyTorch's data parallelism: each worker has the entire model."""

    def __init__(self, args):
        self.model = lm.model(args.model, torch.float32)
        self.parallel = ray.train.torch.prepare_model(self.model)
        self.optimizer = torch.optim.AdamW(self.parallel.parameters(), lr=args.learning_rate)
        self.device = torch.device("cpu")

    def step(self, batch):
        self.optimizer.zero_grad()
        loss = self.parallel(input_ids=batch, labels=batch, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parallel.parameters(), 1.0)
        self.optimizer.step()
        return loss.item()

    def save(self, directory):
        if ray.train.get_context().get_world_rank() == 0:
            torch.save(self.model.state_dict(), os.path.join(directory, lm.WEIGHTS))
            torch.save(self.optimizer.state_dict(), os.path.join(directory, "optimizer.pt"))

    def load(self, directory):
        self.model.load_state_dict(torch.load(os.path.join(directory, lm.WEIGHTS), weights_only=True))
        self.optimizer.load_state_dict(torch.load(os.path.join(directory, "optimizer.pt"), weights_only=True))


def train_worker(settings):
    args = argparse.Namespace(**settings)
    context = ray.train.get_context()
    rank, world = context.get_world_rank(), context.get_world_size()
    torch.manual_seed(1)  # the same initial weights on every worker
    tokenizer = lm.tokenizer(args.model)
    training = DeepSpeed(args) if args.gpus else Plain(args)
    rows = lm.blocks(tokenizer(lm.read_text(args.text))["input_ids"], args.block)
    epoch, step = resume(training)
    while epoch < args.epochs:
        epoch += 1
        losses, since = [], time.monotonic()
        for batch in batches(rows, args, epoch, rank, world):
            losses.append(training.step(batch.to(training.device)))
            step += 1
            if rank == 0 and (step == 1 or step % 10 == 0):
                rate = len(losses) * args.batch * args.block * world / (time.monotonic() - since)
                job.metric(step, loss=losses[-1], tokens_per_second=rate)
        report(training, tokenizer, {"epoch": epoch, "step": step, "loss": sum(losses[-10:]) / len(losses[-10:])})


def batches(rows, args, epoch, rank, world):
    """Yield this worker's batches of an epoch. All workers have the same number, because they wait for each other."""
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(epoch))
    steps = max(1, len(rows) // (args.batch * world))
    for number in range(min(steps, args.max_steps or steps)):
        start = (number * world + rank) * args.batch
        yield rows[order[start : start + args.batch]] if start < len(rows) else rows[: args.batch]


def resume(training):
    checkpoint = ray.train.get_checkpoint()
    if checkpoint is None:
        return 0, 0
    with checkpoint.as_directory() as directory:
        training.load(directory)
        progress = torch.load(os.path.join(directory, "progress.pt"), weights_only=True)
    print(f"resuming from {checkpoint.path}, epoch {progress['epoch']}", flush=True)
    return progress["epoch"], progress["step"]


def report(training, tokenizer, metrics):
    """Report a checkpoint, to which every worker adds its files. It is complete when all workers have reported it."""
    with tempfile.TemporaryDirectory() as directory:
        training.save(directory)
        if ray.train.get_context().get_world_rank() == 0:
            training.model.config.save_pretrained(directory)
            tokenizer.save_pretrained(directory)
            torch.save(metrics, os.path.join(directory, "progress.pt"))
        ray.train.report(metrics, checkpoint=ray.train.Checkpoint.from_directory(directory))


def main():
    args = arguments()
    trainer = ray.train.torch.TorchTrainer(
        train_worker,
        train_loop_config=vars(args),
        scaling_config=ray.train.ScalingConfig(
            num_workers=args.workers,
            use_gpu=args.gpus > 0,
            resources_per_worker={"CPU": args.cpus, **({"GPU": args.gpus} if args.gpus else {})},
        ),
        run_config=ray.train.RunConfig(
            name="train",
            storage_path=os.path.abspath(job.run_directory()),
            checkpoint_config=ray.train.CheckpointConfig(num_to_keep=1),
        ),
    )
    result = trainer.fit()
    job.write_output({"checkpoint": result.checkpoint.path, "model": args.model, **result.metrics})


if __name__ == "__main__":
    main()
