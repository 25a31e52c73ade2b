"""Tests that newest() returns the latest complete checkpoint."""

import contextlib
import io
import os
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import checkpoint
import numpy as np


class CheckpointsTest(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = os.path.join(directory.name, "checkpoints")
        self.checkpoints = checkpoint.Checkpoints(self.directory, keep=2)

    def save(self, *steps):
        return [self.checkpoints.save(step, {"a": np.full(3, step)}, {"loss": step / 2}) for step in steps]

    def test_no_checkpoint(self):
        self.assertIsNone(self.checkpoints.newest())

    def test_newest_and_deleted_checkpoints(self):
        paths = self.save(9, 10, 11)
        path, arrays, facts = self.checkpoints.newest()
        self.assertEqual(path, paths[2])
        self.assertEqual(list(arrays["a"]), [11, 11, 11])
        self.assertEqual((facts["step"], facts["loss"]), (11, 5.5))
        self.assertEqual(sorted(os.listdir(self.directory)), ["step-00000010.npz", "step-00000011.npz"])

    def test_broken_checkpoint_is_skipped(self):
        paths = self.save(1, 2)
        for content in (b"", b"PK\x03\x04 cut short"):
            with open(paths[1], "wb") as file:
                file.write(content)
            with contextlib.redirect_stdout(io.StringIO()) as printed:
                self.assertEqual(self.checkpoints.newest()[0], paths[0])
            self.assertIn("cannot be read", printed.getvalue())

    def test_incomplete_checkpoint_is_ignored(self):
        self.save(1)
        with open(os.path.join(self.directory, "step-00000002.npz.77.part"), "wb") as file:
            file.write(b"half")
        self.assertEqual(self.checkpoints.newest()[2]["step"], 1)


if __name__ == "__main__":
    unittest.main()
