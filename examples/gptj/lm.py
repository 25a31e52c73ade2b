"""The model, its tokenizer and the text, which training and inference share. This module does not use Ray."""

import glob
import os
import urllib.request

import torch
import transformers

TINY = "tiny"  # instead of a model's name: a small GPT-J with random weights, whose tokens are bytes
TINY_SHAKESPEARE = "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt"


def tokenizer(model):
    if model != TINY:
        return transformers.AutoTokenizer.from_pretrained(model)
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate([*alphabet, "<|endoftext|>"])}
    plain = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    plain.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    plain.decoder = decoders.ByteLevel()
    return transformers.PreTrainedTokenizerFast(tokenizer_object=plain, eos_token="<|endoftext|>")


def model(name, dtype):
    """Return the model from which training starts."""
    if name != TINY:
        return transformers.AutoModelForCausalLM.from_pretrained(name, dtype=dtype)
    config = transformers.GPTJConfig(
        vocab_size=257, n_positions=256, n_embd=64, n_layer=2, n_head=4, rotary_dim=8, bos_token_id=256, eos_token_id=256
    )
    return transformers.AutoModelForCausalLM.from_config(config, dtype=dtype)


def trained(directory, dtype):
    """Return the model that save has written."""
    config = transformers.AutoConfig.from_pretrained(directory)
    result = transformers.AutoModelForCausalLM.from_config(config, dtype=dtype)
    result.load_state_dict(torch.load(os.path.join(directory, WEIGHTS), weights_only=True, map_location="cpu"))
    return result


WEIGHTS = "weights.pt"


def read_text(source):
    """Return the text of a file, of all .txt files in a directory, or of a URL."""
    if source.startswith(("http://", "https://")):
        with urllib.request.urlopen(source, timeout=60) as response:
            return response.read().decode()
    paths = sorted(glob.glob(os.path.join(source, "*.txt"))) if os.path.isdir(source) else [source]
    if not paths:
        raise SystemExit(f"no .txt file in {source}")
    texts = []
    for path in paths:
        with open(path, encoding="utf-8") as file:
            texts.append(file.read())
    return "\n".join(texts)


def blocks(tokens, size):
    """Return the tokens in rows of equal length, without those that do not fill the last row."""
    count = len(tokens) // size
    if count == 0:
        raise SystemExit(f"the text has {len(tokens)} tokens, fewer than one block of {size}: use a smaller --block")
    return torch.tensor(tokens[: count * size]).reshape(count, size)
