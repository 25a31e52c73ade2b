"""Tests train.py and infer.py, as rayorch runs them, on a real Ray that the test starts. Skipped if Ray is not installed."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import unittest

EXAMPLE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

try:
    import ray
except ImportError:
    ray = None

PATIENCE = 1200  # seconds; a test exceeds this only if it is broken, even on a busy machine
STEPS = ["--steps=60", "--checkpoint-every=10", "--report-every=10", "--batch=512"]


@unittest.skipIf(ray is None, "ray is not installed: pip install 'ray[default]' numpy")
class OnRayTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory(prefix="ro")
        cls.addClassCleanup(cls.directory.cleanup)
        cls.addClassCleanup(ray.shutdown)
        ray.init(address="local", num_cpus=2, include_dashboard=False, logging_level="error", _temp_dir=cls.directory.name)
        cls.address = ray.get_runtime_context().gcs_address

    def start(self, script, run, *args, attempt="1", storage=None):
        self.output = os.path.join(self.directory.name, f"{run}-{script}.json")
        env = dict(
            os.environ,
            RAY_ADDRESS=self.address,
            RAYORCH_STORAGE=os.path.join(self.directory.name, "storage", storage or run),
            RAYORCH_RUN_ID=run,
            RAYORCH_ATTEMPT=attempt,
            RAYORCH_OUTPUT=self.output,
        )
        command = [sys.executable, os.path.join(EXAMPLE, script), *args]
        job = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.addCleanup(job.wait)
        self.addCleanup(job.kill)  # the job is still running only if the test failed
        return job

    def run_script(self, script, run, *args, attempt="1", storage=None, code=0):
        """Run a script and return its output and what it printed."""
        job = self.start(script, run, *args, attempt=attempt, storage=storage)
        printed, _ = job.communicate(timeout=PATIENCE)
        self.assertEqual(job.returncode, code, printed)
        if code:
            self.assertFalse(os.path.exists(self.output))
            return None, printed
        with open(self.output, encoding="utf-8") as file:
            return json.load(file), printed

    def test_training_lowers_and_reports_loss(self):
        output, printed = self.run_script("train.py", "falls", *STEPS)
        self.assertEqual(output["steps"], 60)
        self.assertGreater(output["first_loss"], 4.0)  # the initial loss is about log(73)
        self.assertLess(output["loss"], 3.0)
        self.assertLess(output["validation_loss"], 3.0)
        metrics = re.findall(r"^metric loss=([\d.]+) validation=[\d.]+ chars_per_second=[\d.]+ step=(\d+)$", printed, re.MULTILINE)
        self.assertEqual([int(step) for _, step in metrics], [1, 10, 20, 30, 40, 50, 60])
        self.assertLess(float(metrics[-1][0]), float(metrics[0][0]))

    def test_retry_resumes_and_ends_with_same_model(self):
        whole, _ = self.run_script("train.py", "whole", *STEPS)
        _, printed = self.run_script("train.py", "broken", *STEPS, "--fail-at=35", code=1)
        self.assertIn("failing at step 35", printed)
        output, printed = self.run_script("train.py", "broken", *STEPS, "--fail-at=35", attempt="2")
        self.assertIn("attempt 2 resumes from", printed)
        self.assertEqual(output["resumed_at"], 30)
        self.assertEqual(output["first_loss"], whole["first_loss"])
        self.assertAlmostEqual(output["loss"], whole["loss"], places=3)

    def test_stop_saves_checkpoint(self):
        job = self.start("train.py", "stopped", "--steps=100000", "--report-every=1")
        for line in job.stdout:
            if "step=3" in line:
                job.send_signal(signal.SIGTERM)
                break
        rest = job.stdout.read()
        job.stdout.close()
        self.assertEqual(job.wait(timeout=PATIENCE), 143, rest)
        kept = re.search(r"stopped: step (\d+) is in (.*)", rest)
        self.assertTrue(os.path.exists(kept[2]))

    def test_inference_uses_checkpoint_of_its_run(self):
        self.run_script("train.py", "other", "--steps=3")
        mine, _ = self.run_script("train.py", "mine", "--steps=2")
        output, printed = self.run_script("infer.py", "mine", "--prompts=HAMLET.\\n|Rom.", "--length=40")
        self.assertEqual((output["run"], output["step"]), ("mine", 2))
        self.assertEqual(output["checkpoint"], mine["checkpoint"])
        self.assertEqual([text["prompt"] for text in output["texts"]], ["HAMLET.\n", "Rom."])
        for text in output["texts"]:
            self.assertTrue(text["text"].startswith(text["prompt"]))
            self.assertEqual(len(text["text"]), len(text["prompt"]) + 40)
            self.assertIn(text["text"], printed)

    def test_checkpoint_of_another_run_is_rejected(self):
        self.run_script("train.py", "first", "--steps=1")
        for script in ("train.py", "infer.py"):
            _, printed = self.run_script(script, "second", storage="first", code=1)
            self.assertIn("is from run first, this is run second", printed)

    def test_inference_without_training_fails_with_hint(self):
        _, printed = self.run_script("infer.py", "untrained", code=1)
        self.assertIn("run train.py with the same", printed)


if __name__ == "__main__":
    unittest.main()
