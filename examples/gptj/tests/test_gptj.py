"""Tests the tiny model end to end on a real Ray. Skipped if PyTorch or Transformers are not installed."""

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import unittest

EXAMPLE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TEXT = os.path.join(os.path.dirname(EXAMPLE), "shakespeare", "data")
MISSING = [name for name in ("ray", "torch", "transformers") if importlib.util.find_spec(name) is None]

sys.path.insert(0, EXAMPLE)


@unittest.skipIf(MISSING, f"not installed: {', '.join(MISSING)}")
class TinyTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        import ray

        cls.directory = tempfile.TemporaryDirectory(prefix="ro")
        cls.addClassCleanup(cls.directory.cleanup)
        cls.addClassCleanup(ray.shutdown)
        ray.init(address="local", num_cpus=2, include_dashboard=False, logging_level="error", _temp_dir=cls.directory.name)
        cls.address = ray.get_runtime_context().gcs_address

    def run_script(self, script, run, *args):
        output = os.path.join(self.directory.name, f"{run}-{script}.json")
        storage = os.path.join(self.directory.name, "storage", run)
        env = dict(os.environ, RAY_ADDRESS=self.address, RAYORCH_STORAGE=storage, RAYORCH_RUN_ID=run, RAYORCH_OUTPUT=output)
        command = [sys.executable, os.path.join(EXAMPLE, script), *args]
        job = subprocess.run(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=1800, check=False)
        self.assertEqual(job.returncode, 0, job.stdout)
        with open(output, encoding="utf-8") as file:
            return json.load(file), job.stdout

    def train(self, run, epochs):
        tiny = ["--model=tiny", "--gpus=0", "--cpus=1", "--workers=2", "--batch=8", "--block=64", "--max-steps=20"]
        return self.run_script("train.py", run, *tiny, f"--text={TEXT}", "--learning-rate=0.01", f"--epochs={epochs}")

    def test_train_resume_and_infer(self):
        first, printed = self.train("mine", 1)
        self.assertIn("metric loss=", printed)
        self.assertLess(first["loss"], 4.0)  # the initial loss is log(257) = 5.5
        second, printed = self.train("mine", 2)
        self.assertIn("resuming from", printed)
        self.assertEqual((second["epoch"], second["step"]), (2, 40))
        self.assertLess(second["loss"], first["loss"])
        args = [f"--checkpoint={second['checkpoint']}", "--prompt=HAMLET.", "--length=30", "--gpus=0", "--cpus=1"]
        written, _ = self.run_script("infer.py", "mine", *args)
        self.assertTrue(written["text"].startswith("HAMLET."))
        self.assertGreater(len(written["text"]), len("HAMLET."))

    def test_bytes_are_tokens(self):
        import lm

        tokenizer = lm.tokenizer(lm.TINY)
        text = "To be, or not:\n\tthat\u00e9"
        self.assertEqual(len(tokenizer(text)["input_ids"]), len(text.encode()))
        self.assertEqual(tokenizer.decode(tokenizer(text)["input_ids"]), text)


if __name__ == "__main__":
    unittest.main()
