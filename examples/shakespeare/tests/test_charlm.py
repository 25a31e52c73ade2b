"""Tests the model, without Ray."""

import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import charlm
import numpy as np

TEXT = "the quick brown fox jumps over the lazy dog. " * 40


class GradientTest(unittest.TestCase):
    def test_equals_finite_differences(self):
        vocabulary = charlm.Vocabulary(TEXT)
        model = charlm.Model(len(vocabulary), context=3, embedding=4, hidden=5)
        flat = model.initial(seed=1).astype(np.float64)
        contexts, targets = charlm.batch(vocabulary.encode(TEXT), 3, 16, np.random.default_rng(2))
        _, gradient = model.gradient(flat, contexts, targets)
        for name, view in model.split(np.arange(model.size)).items():
            with self.subTest(name):
                for index in view.reshape(-1):
                    nudge = np.zeros(model.size)
                    nudge[index] = 1e-5
                    rise = model.loss(flat + nudge, contexts, targets) - model.loss(flat - nudge, contexts, targets)
                    self.assertAlmostEqual(gradient[index], rise / 2e-5, places=7)

    def test_average_over_shards_equals_whole_batch(self):
        vocabulary = charlm.Vocabulary(TEXT)
        model = charlm.Model(len(vocabulary), context=3, embedding=4, hidden=5)
        flat = model.initial(seed=1).astype(np.float64)
        contexts, targets = charlm.batch(vocabulary.encode(TEXT), 3, 16, np.random.default_rng(2))
        whole = model.gradient(flat, contexts, targets)[1]
        halves = [model.gradient(flat, contexts[i : i + 8], targets[i : i + 8])[1] for i in (0, 8)]
        np.testing.assert_allclose(whole, np.mean(halves, axis=0), atol=1e-12)


class TextTest(unittest.TestCase):
    def test_encode_then_decode(self):
        vocabulary = charlm.Vocabulary(TEXT)
        self.assertEqual(vocabulary.decode(vocabulary.encode(TEXT)), TEXT)

    def test_unknown_character_becomes_space(self):
        vocabulary = charlm.Vocabulary(TEXT)
        self.assertEqual(vocabulary.decode(vocabulary.encode("fox\u00e9dog")), "fox dog")

    def test_generate_is_repeatable_and_starts_with_prompt(self):
        vocabulary = charlm.Vocabulary(TEXT)
        model = charlm.Model(len(vocabulary), context=3, embedding=4, hidden=5)
        texts = [charlm.generate(model, model.initial(1), vocabulary, "the ", 20, 0.7, seed=3) for _ in range(2)]
        self.assertEqual(texts[0], texts[1])
        self.assertTrue(texts[0].startswith("the "))
        self.assertEqual(len(texts[0]), 24)


if __name__ == "__main__":
    unittest.main()
