"""Checkpoints of a training run: files that are whole or not there, numbered by step."""

import json
import os
import re
import zipfile

import numpy as np

NAME = re.compile(r"step-(\d{8})\.npz")
FORMAT = 1


class Checkpoints:
    """The checkpoints of one run, in one directory."""

    def __init__(self, directory, keep=3):
        self.directory, self.keep = directory, keep

    def save(self, step, arrays, facts):
        """Keep arrays and facts (JSON) under the step's number, then drop all but the newest few."""
        os.makedirs(self.directory, exist_ok=True)
        path = os.path.join(self.directory, f"step-{step:08d}.npz")
        # Written beside it and renamed: a job that is killed here leaves a file that newest() never looks at.
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
        """(path, arrays, facts) of the newest checkpoint that can be read, or None."""
        for _, path in self._all():
            try:
                return (path, *_read(path))
            except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
                print(f"checkpoint {path} cannot be read, taking the one before it: {error}", flush=True)
        return None

    def _all(self):
        if not os.path.isdir(self.directory):
            return []
        found = ((NAME.fullmatch(name), name) for name in os.listdir(self.directory))
        numbered = [(int(match[1]), os.path.join(self.directory, name)) for match, name in found if match]
        return sorted(numbered, reverse=True)


def _read(path):
    # allow_pickle stays off: a checkpoint is data, and whoever can write the storage must not run code here.
    with open(path, "rb") as raw, np.load(raw, allow_pickle=False) as file:
        facts = json.loads(str(file["facts"]))
        if facts.get("format") != FORMAT:
            raise ValueError(f"format {facts.get('format')}, this program reads {FORMAT}")
        return {name: file[name] for name in file.files if name != "facts"}, facts
