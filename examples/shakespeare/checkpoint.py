"""Checkpoints of a training run: files that are numbered by step and always complete."""

import json
import os
import re
import zipfile

import numpy as np

NAME = re.compile(r"step-(\d{8})\.npz")
FORMAT = 1


class Checkpoints:
    """The checkpoints of a run, in one directory."""

    def __init__(self, directory, keep=3):
        self.directory, self.keep = directory, keep

    def save(self, step, arrays, facts):
        """Store arrays and facts (JSON) under the step's number, then delete all but the latest checkpoints."""
        os.makedirs(self.directory, exist_ok=True)
        path = os.path.join(self.directory, f"step-{step:08d}.npz")
        # Write to another file and rename it: newest() ignores the file that a killed job leaves.
        part = f"{path}.{os.getpid()}.part"
        with open(part, "wb") as file:
            np.savez(file, facts=json.dumps({**facts, "format": FORMAT, "step": step}), **arrays)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
        for _, old in self._all()[self.keep :]:
            os.unlink(old)
        return path

    def newest(self):
        """Return (path, arrays, facts) of the latest readable checkpoint, or None."""
        for _, path in self._all():
            try:
                return (path, *_read(path))
            except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
                print(f"checkpoint {path} cannot be read, using the previous one: {error}", flush=True)
        return None

    def _all(self):
        if not os.path.isdir(self.directory):
            return []
        found = ((NAME.fullmatch(name), name) for name in os.listdir(self.directory))
        numbered = [(int(match[1]), os.path.join(self.directory, name)) for match, name in found if match]
        return sorted(numbered, reverse=True)


def _read(path):
    # allow_pickle must be False: otherwise, anyone who can write to the storage could run code here.
    with open(path, "rb") as raw, np.load(raw, allow_pickle=False) as file:
        facts = json.loads(str(file["facts"]))
        if facts.get("format") != FORMAT:
            raise ValueError(f"unsupported format {facts.get('format')}, expected {FORMAT}")
        return {name: file[name] for name in file.files if name != "facts"}, facts
