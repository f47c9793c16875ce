"""Starts the worker in another interpreter, as ``PYTHON bootstrap.py ADAPTER``.

That interpreter brings the frameworks, this file the suite: the copy that it lies in, and nothing else of
the environment around it. Old interpreters read this file too, to be told what they lack.
"""

import importlib.util
import os
import sys

_NEEDED = {"numpy": "numpy", "msgspec": "msgspec", "ml_dtypes": "ml-dtypes"}


def main():  # type: ignore[no-untyped-def]  # noqa: ANN201  (an old interpreter knows no such annotations)
    """Make this copy of the package importable and serve the adapter named on the command line."""
    here = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120
    # A script's own folder comes first on the path: its `frames` and `client` are nobody else's.
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry or ".") != here]  # noqa: PTH100
    if sys.version_info < (3, 10):  # noqa: UP036  (this is where they are told)
        sys.exit("{} is Python {}.{}: the suite's worker needs 3.10 or later".format(sys.executable, *sys.version_info))
    lacking = [_NEEDED[name] for name in _NEEDED if importlib.util.find_spec(name) is None]
    if lacking:
        packages = " ".join(lacking)
        sys.exit(f"{sys.executable} lacks {packages}: {sys.executable} -m pip install {packages}")
    package = os.path.dirname(here)  # noqa: PTH120
    origin = os.path.join(package, "__init__.py")  # noqa: PTH118
    spec = importlib.util.spec_from_file_location("conformance", origin, submodule_search_locations=[package])
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["conformance"] = module
    spec.loader.exec_module(module)
    importlib.import_module("conformance.host.worker").main()


if __name__ == "__main__":
    main()  # type: ignore[no-untyped-call]
