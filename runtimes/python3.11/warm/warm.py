"""Waits in a warm pool with the interpreter up and the runtime client loaded, then becomes the function's process.

Says `ready` on standard output when everything is loaded, and reads one line of JSON on standard input: `argv`, `cwd` and
`env` of the process to become. Nothing of the function is loaded, read or known before that line.
"""

import json
import os
import runpy
import sys
import time


def preload():
    """What every handler needs, and most of what most of them import first."""
    import awslambdaric.__main__  # noqa: F401
    import awslambdaric.bootstrap  # noqa: F401
    import runtime_client  # noqa: F401

    for name in (
        "base64", "collections", "contextlib", "copy", "dataclasses", "datetime", "decimal", "email.parser", "enum",
        "functools", "hashlib", "hmac", "html", "http.client", "io", "itertools", "logging", "math", "random", "re", "socket",
        "ssl", "string", "tempfile", "threading", "traceback", "typing", "urllib.parse", "urllib.request", "uuid", "zlib",
    ):
        try:
            __import__(name)
        except ImportError:
            # Left out of the image: who needs it will be told.
            pass


def become(order):
    """Is the process from here on."""
    argv, folder, environment = order["argv"], order["cwd"], order["env"]
    os.chdir(folder)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    if len(argv) < 3 or not os.path.basename(argv[0]).startswith("python") or argv[1] != "-m":
        # Something else than a module of this interpreter: a process like any other.
        os.execvpe(argv[0], argv, environment)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    # As `python3 -m` has it.
    sys.path[0] = folder
    sys.argv = ["-m", *argv[3:]]
    sys.modules.pop(argv[2] + ".__main__", None)
    runpy.run_module(argv[2], run_name="__main__", alter_sys=True)


def main():
    preload()
    os.write(1, b"ready\n")
    line = sys.stdin.buffer.readline()
    if line:
        become(json.loads(line))


main()
