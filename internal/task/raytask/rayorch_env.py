"""Gives the tasks and actors of a rayorch job the variables that Ray's records do not contain.

Ray calls load as it starts a worker of the job (worker_process_setup_hook). The driver gets them from its entrypoint.
"""

import importlib
import os
import shlex
import sys


def load():
    try:
        with open(os.environ.get("RAYORCH_ENV_FILE", ""), errors="surrogateescape") as file:
            words = shlex.split(file.read())
    except OSError as e:  # the job has ended
        print("rayorch: warning: the secrets of the job are not available: %s" % e, file=sys.stderr)
        words = []
    for word in words:
        name, is_variable, value = word.partition("=")
        if is_variable:
            os.environ[name] = value
    module, _, function = os.environ.get("RAYORCH_ENV_HOOK", "").rpartition(".")
    if module:  # the hook of the user
        getattr(importlib.import_module(module), function)()
