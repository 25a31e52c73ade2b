"""Sets the environment variables of a rayorch job that Ray's records must not contain, such as secrets, in the job's workers.

Ray calls load when it starts a worker process of the job (worker_process_setup_hook). In the driver, the entrypoint sets them.
"""

import importlib
import os
import shlex
import sys


def load():
    """Sets the variables from the file that RAYORCH_ENV_FILE names, then calls the user's own hook."""
    try:
        with open(os.environ.get("RAYORCH_ENV_FILE", ""), errors="surrogateescape") as file:
            words = shlex.split(file.read())
    except OSError as e:  # the entrypoint has ended, and the file with it
        print("rayorch: warning: cannot read the secrets and inherited variables of the job: %s" % e, file=sys.stderr)
        words = []
    for word in words:
        name, is_variable, value = word.partition("=")
        if is_variable:
            os.environ[name] = value
    module, _, function = os.environ.get("RAYORCH_ENV_HOOK", "").rpartition(".")
    if module:  # the user's own hook
        getattr(importlib.import_module(module), function)()
