"""Generate text with a checkpoint of train.py, on one Ray worker with --gpus GPUs."""

import argparse

import job
import lm
import ray
import torch


def arguments(argv=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", required=True, help="checkpoint directory from the output of train.py")
    parser.add_argument("--prompt", default="ROMEO:")
    parser.add_argument("--length", type=int, default=200, help="tokens to generate")
    parser.add_argument("--temperature", type=float, default=0.7)
    parser.add_argument("--gpus", type=int, default=1)
    parser.add_argument("--cpus", type=int, default=8)
    return parser.parse_args(argv)


@ray.remote
def write(args):
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(args.checkpoint)
    dtype, device = (torch.bfloat16, "cuda") if args.gpus else (torch.float32, "cpu")
    model = lm.trained(args.checkpoint, dtype).to(device).eval()
    torch.manual_seed(1)
    inputs = tokenizer(args.prompt, return_tensors="pt").to(device)
    with torch.no_grad():
        written = model.generate(
            input_ids=inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            max_new_tokens=args.length,
            do_sample=True,
            temperature=args.temperature,
            pad_token_id=tokenizer.eos_token_id,
        )
    return tokenizer.decode(written[0], skip_special_tokens=True)


def main():
    args = arguments()
    ray.init(logging_level="warning")
    text = ray.get(write.options(num_cpus=args.cpus, num_gpus=args.gpus).remote(args))
    print(text, flush=True)
    job.write_output({"checkpoint": args.checkpoint, "prompt": args.prompt, "text": text})


if __name__ == "__main__":
    main()
