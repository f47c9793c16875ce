"""Calls functions of one file in this process, as asked on standard input; ``python apart.py FILE``.

For a framework that cannot share a process with another: once TensorFlow is loaded, importing Paddle
ends in a segmentation fault.
"""

from __future__ import annotations

import importlib.util
import os
import pickle
import sys
import warnings


def main() -> None:
    """Answer each pickled ``(function, arguments, options)`` with ``(result, None)`` or ``(None, error)``."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a framework prints is no answer
    warnings.simplefilter("ignore")
    spec = importlib.util.spec_from_file_location("asked", sys.argv[1])
    if spec is None or spec.loader is None:
        sys.exit(f"cannot import {sys.argv[1]}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    while sys.stdin.buffer.peek(1):
        function, arguments, options = pickle.load(sys.stdin.buffer)  # noqa: S301  (from the process that started this)
        try:
            answer = getattr(module, function)(*arguments, **options), None
        except Exception as error:  # noqa: BLE001  (raised again where it was asked)
            answer = None, error
        pickle.dump(answer, answers)
        answers.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
