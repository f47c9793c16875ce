"""The requests of a bundle: made from cases, each with a token that its answer has to carry."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from conformance import __version__
from conformance.adapters.contract import Array
from conformance.bundle import layout
from conformance.bundle.layout import BundleError, Manifest, file_name, write_bytes, write_frame
from conformance.corpus.case import Case
from conformance.corpus.digest import digest
from conformance.corpus.inputs import generate
from conformance.host.frames import Frame
from conformance.host.messages import Describe, Run

__all__ = ["export_bundle", "request_of", "token_of"]

_README = """\
This folder is a bundle of the conformance suite for batch normalisation. Answer every file requests/NAME with a
file answers/LABEL/NAME, and bring the folder back: conformance import FOLDER --output RUN.

    MATLAB   runners/matlab/README.md of the suite's repository
    Julia    runners/flux/README.md
    Python   python -m conformance.bundle.answer FOLDER ADAPTER
    others   docs/bundles.md
"""


def token_of(case: Case, arrays: Mapping[str, Array]) -> str:
    """Return what marks the question: it changes with the case and with every array of it."""
    hashed = hashlib.sha256(digest([case]).encode())
    for name, array in sorted(arrays.items()):
        little = array.astype(array.dtype.newbyteorder("<"), copy=False)
        hashed.update(f"|{name} {array.dtype.name} {array.shape}|".encode())
        hashed.update(little.tobytes())
    return hashed.hexdigest()[:32]


def request_of(case: Case) -> Frame:
    """Return the request that puts a case, with its token."""
    arrays = generate(case)
    return Frame(msgspec.json.encode(Run.of(case)), arrays, token_of(case, arrays))


def export_bundle(folder: Path, cases: Sequence[Case], patterns: Sequence[str] = (), tags: Sequence[str] = ()) -> int:
    """Write a bundle of the cases into a new or empty folder, its manifest last; return its size in bytes.

    Raises:
        BundleError: the folder holds something, or cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BundleError(
            f"{folder}: found something there, expected a new or an empty folder",
            hint="name another folder; answers that were computed are not to be lost",
        )
    write_frame(folder / layout.REQUESTS / file_name(layout.DESCRIBE), Frame(msgspec.json.encode(Describe())))
    for number, case in enumerate(cases, start=1):
        write_frame(folder / layout.REQUESTS / file_name(number), request_of(case))
    write_bytes(folder / "README.txt", _README.encode())
    (folder / layout.ANSWERS).mkdir(exist_ok=True)
    manifest = Manifest(
        bundle=1, suite=__version__, cases=tuple(case.id for case in cases), patterns=tuple(patterns), tags=tuple(tags)
    )
    write_bytes(folder / layout.MANIFEST, msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n")
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
