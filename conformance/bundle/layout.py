"""What lies where in a bundle, and how its files are read and written: nothing in it is trusted."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from pathlib import Path

import msgspec

from conformance.errors import ConformanceError, HostError
from conformance.host.frames import HEADER_LIMIT, Frame, decode, encode
from conformance.pages import page

__all__ = [
    "ANSWERS", "DESCRIBE", "LABEL", "MANIFEST", "REQUESTS", "BundleError", "Manifest", "MissingError", "answers_of",
    "file_name", "read_frame_file", "read_manifest", "write_bytes", "write_frame",
]  # fmt: skip

MANIFEST, REQUESTS, ANSWERS = "manifest.json", "requests", "answers"
#: The request that asks who is there; cases count from 1.
DESCRIBE = 0
#: The folder that an answering program makes for its answers.
LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,63}")
_FORMAT = 1
#: Columns that one bundle may bring.
_MOST_LABELS = 100


class BundleError(ConformanceError):
    """A bundle, or an answer in it, is missing, torn, malformed or foreign."""


class MissingError(BundleError):
    """A file of a bundle is not there."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What was exported: case number ``k``, counted from 1, is ``cases[k - 1]``."""

    bundle: int
    suite: str
    cases: tuple[str, ...]
    patterns: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()


def file_name(number: int) -> str:
    """Return the name of a request, and of its answer.

    >>> file_name(12)
    '00012.safetensors'
    """
    return f"{number:05d}.safetensors"


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest of a bundle.

    Raises:
        BundleError: the folder is no bundle, or one of another format.
    """
    path = folder / MANIFEST
    try:
        manifest = msgspec.json.decode(_read(path, HEADER_LIMIT), type=Manifest)
    except MissingError:
        raise BundleError(
            f"{folder}: found no {MANIFEST}, expected a bundle",
            hint="name the folder that `conformance export` wrote; if the export was interrupted, export again",
        ) from None
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise BundleError(f"{path}: malformed: {error}", hint="export again; answers stay valid") from None
    if manifest.bundle != _FORMAT:
        raise BundleError(
            f"{path}: found format {manifest.bundle}, expected {_FORMAT}",
            hint="import it with the version of the suite that exported it",
        )
    if len(set(manifest.cases)) != len(manifest.cases):
        raise BundleError(f"{path}: found a case twice, expected each once", hint="export again")
    return manifest


def answers_of(folder: Path) -> list[Path]:
    """Return the folders of answers in a bundle, one a column.

    Raises:
        BundleError: there is none, one is a link or has an odd name, or there are very many.
    """
    parent = folder / ANSWERS
    hint = f"answer the bundle first: {page('bundles.md')} says how"
    if parent.is_symlink() or not parent.is_dir():
        raise BundleError(f"{parent}: found no folder, expected the answers in it", hint=hint)
    found = sorted(path for path in parent.iterdir() if path.is_dir() or path.is_symlink())
    if not found:
        raise BundleError(f"{parent}: found it empty, expected a folder for each implementation", hint=hint)
    if len(found) > _MOST_LABELS:
        raise BundleError(f"{parent}: found {len(found)} folders, expected at most {_MOST_LABELS}", hint="split it")
    for path in found:
        if path.is_symlink():
            raise BundleError(f"{path}: found a link, expected a folder", hint="copy what it points at into its place")
        if LABEL.fullmatch(path.name) is None:
            raise BundleError(
                f"{str(path)!r}: found this name, expected letters, digits and any of _ . + -", hint="rename the folder"
            )
    return found


def read_frame_file(path: Path, limit: int) -> Frame:
    """Return the message in a file of at most ``limit`` bytes.

    Raises:
        MissingError: there is no such file.
        BundleError: it is no plain file, too large, or no message.
    """
    image = _read(path, limit)
    try:
        return decode(image)
    except HostError as error:
        raise BundleError(
            f"{path}: torn or malformed: {error.args[0]}",
            hint="delete the file and start the answering program again: it answers what is missing",
        ) from None


def write_frame(path: Path, frame: Frame) -> None:
    """Write a message in one move, so that a file is there in full or not at all.

    Raises:
        HostError: an array cannot travel.
        BundleError: the file cannot be written.
    """
    write_bytes(path, encode(frame))


def write_bytes(path: Path, image: bytes) -> None:
    """Write a file in one move.

    Raises:
        BundleError: it cannot be written.
    """
    part = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(image)
        part.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise BundleError(f"{path}: cannot be written: {error.strerror or error}", hint="is the disk full?") from None


def _read(path: Path, limit: int) -> bytes:
    """Return the bytes of a plain file: no link is followed, and nothing that blocks is opened."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(path, flags)
    except FileNotFoundError:
        raise MissingError(f"{path}: missing", hint="start the answering program again: it goes on") from None
    except OSError as error:
        what = "found a link" if error.errno == errno.ELOOP else f"cannot be read: {error.strerror or error}"
        raise BundleError(f"{path}: {what}, expected a plain file", hint="copy the file itself there") from None
    with open(descriptor, "rb") as file:  # noqa: PTH123  (a descriptor, not a path)
        known = os.fstat(descriptor)
        if not stat.S_ISREG(known.st_mode):
            raise BundleError(f"{path}: found no plain file, expected one", hint="remove it")
        if known.st_size > limit:
            raise BundleError(
                f"{path}: found {known.st_size} bytes, expected at most {limit}",
                hint="an answer holds no more than was asked for; was another file put in its place?",
            )
        return file.read(limit + 1)
