"""A character-level language model in NumPy: an embedding, two hidden layers and a softmax over the next character.

This module does not use Ray, files or pipelines; train.py and infer.py do. All parameters are in one flat vector, so that
a gradient is one array to average, and a checkpoint one array to store. The gradient is computed without autograd;
tests/test_charlm.py compares it with finite differences.
"""

import math
import os

# There is one process per CPU, so that additional BLAS threads would only compete with each other. NumPy reads these
# variables when it is imported.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import numpy as np  # noqa: E402


class Vocabulary:
    """The characters of a text, with their numbers."""

    def __init__(self, characters):
        self.characters = "".join(sorted(set(characters)))
        self._index = {c: i for i, c in enumerate(self.characters)}

    def __len__(self):
        return len(self.characters)

    def encode(self, text):
        """Return the numbers of the text's characters. Characters that are not in the vocabulary become spaces."""
        space = self._index.get(" ", 0)
        return np.array([self._index.get(c, space) for c in text], dtype=np.uint8)

    def decode(self, numbers):
        return "".join(self.characters[int(n)] for n in numbers)


class Model:
    """Computes the probabilities of the next character from parameters and contexts, and the gradient."""

    def __init__(self, vocabulary, context=24, embedding=16, hidden=256):
        self.vocabulary, self.context, self.embedding, self.hidden = vocabulary, context, embedding, hidden
        self.shapes = {
            "embed": (vocabulary, embedding),
            "w1": (context * embedding, hidden),
            "b1": (hidden,),
            "w2": (hidden, hidden),
            "b2": (hidden,),
            "w3": (hidden, vocabulary),
            "b3": (vocabulary,),
        }
        self.size = sum(int(np.prod(shape)) for shape in self.shapes.values())

    def config(self):
        """Return the arguments with which Model(**config) creates the same model."""
        return {k: getattr(self, k) for k in ("vocabulary", "context", "embedding", "hidden")}

    def split(self, flat):
        """Return the parameters by name, as views of the flat vector."""
        views, start = {}, 0
        for name, shape in self.shapes.items():
            end = start + int(np.prod(shape))
            views[name] = flat[start:end].reshape(shape)
            start = end
        return views

    def initial(self, seed):
        """Return random parameters, scaled so that each layer preserves the variance of its input."""
        random = np.random.default_rng(seed)
        flat = np.zeros(self.size, dtype=np.float32)
        for name, view in self.split(flat).items():
            if view.ndim == 2:
                scale = 1.0 if name == "embed" else view.shape[0] ** -0.5
                view[...] = random.normal(0, scale, view.shape)
        return flat

    def _forward(self, p, contexts):
        x = p["embed"][contexts].reshape(len(contexts), -1)
        h1 = np.tanh(x @ p["w1"] + p["b1"])
        h2 = np.tanh(h1 @ p["w2"] + p["b2"])
        scores = h2 @ p["w3"] + p["b3"]
        scores -= scores.max(axis=1, keepdims=True)
        probabilities = np.exp(scores)
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        return x, h1, h2, probabilities

    def probabilities(self, flat, contexts):
        return self._forward(self.split(flat), contexts)[-1]

    def loss(self, flat, contexts, targets):
        """Return the mean cross-entropy in nats per character."""
        chosen = self.probabilities(flat, contexts)[np.arange(len(targets)), targets]
        return float(-np.log(chosen + 1e-12).mean())

    def gradient(self, flat, contexts, targets):
        """Return the mean loss over the batch and its gradient, a flat vector like the parameters."""
        p, out = self.split(flat), np.empty_like(flat)
        g, rows = self.split(out), np.arange(len(targets))
        x, h1, h2, probabilities = self._forward(p, contexts)
        loss = float(-np.log(probabilities[rows, targets] + 1e-12).mean())

        d = probabilities  # d loss / d scores, in place, because the probabilities are no longer needed
        d[rows, targets] -= 1
        d /= len(targets)
        g["w3"][...], g["b3"][...] = h2.T @ d, d.sum(axis=0)
        d = (d @ p["w3"].T) * (1 - h2 * h2)
        g["w2"][...], g["b2"][...] = h1.T @ d, d.sum(axis=0)
        d = (d @ p["w2"].T) * (1 - h1 * h1)
        g["w1"][...], g["b1"][...] = x.T @ d, d.sum(axis=0)
        g["embed"][...] = self._embedding_gradient(contexts, d @ p["w1"].T)
        return loss, out

    def _embedding_gradient(self, contexts, dx):
        # A character occurs many times in a batch, and its rows are added. np.add.at does the same, but takes 20 times as
        # long as one bincount per column.
        flat, dx = contexts.reshape(-1), dx.reshape(-1, self.embedding)
        columns = [np.bincount(flat, dx[:, i], minlength=self.vocabulary) for i in range(self.embedding)]
        return np.stack(columns, axis=1)


class Adam:
    """Adam (Kingma and Ba, 2015) with cosine decay. A checkpoint must contain its moments in addition to the parameters."""

    def __init__(self, size, rate, steps, moments=None):
        self.rate, self.steps = rate, steps
        self.m, self.v = moments if moments is not None else (np.zeros(size, np.float32), np.zeros(size, np.float32))

    def update(self, flat, gradient, step):
        """Return the parameters after a step (from 1), as a new array: Ray's workers may still read the old one."""
        self.m = 0.9 * self.m + np.float32(0.1) * gradient
        self.v = 0.99 * self.v + np.float32(0.01) * gradient * gradient
        decay = 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * min(1.0, step / self.steps)))
        rate = self.rate * decay * min(1.0, step / 20)
        m, v = self.m / (1 - 0.9**step), self.v / (1 - 0.99**step)
        return (flat - rate * m / (np.sqrt(v) + 1e-8)).astype(np.float32)


def batch(text, context, size, random):
    """Return size random characters of the encoded text, each with the context before it."""
    positions = random.integers(context, len(text), size)
    return text[positions[:, None] + np.arange(-context, 0)], text[positions]


def generate(model, flat, vocabulary, prompt, length, temperature, seed):
    """Return the prompt followed by length characters. A lower temperature makes likely characters more likely."""
    random = np.random.default_rng(seed)
    numbers = list(vocabulary.encode("\n" * model.context + prompt))
    for _ in range(length):
        p = model.probabilities(flat, np.array([numbers[-model.context :]]))[0].astype(np.float64)
        p = p ** (1 / max(temperature, 0.05))
        numbers.append(random.choice(len(p), p=p / p.sum()))
    return prompt + vocabulary.decode(numbers[model.context + len(prompt) :])
