"""Answers a bundle with any adapter: ``python -m conformance.bundle.answer FOLDER ADAPTER``.

The adapter runs in a host process of its own. What is answered already stays; a program that was
stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec

from conformance.adapters.registry import find
from conformance.bundle.layout import ANSWERS, LABEL, REQUESTS, BundleError, read_frame_file, read_manifest, write_frame
from conformance.bundle.recorded import CRASH
from conformance.engine.limits import check_time_limit
from conformance.errors import ConformanceError, HostError, UsageError
from conformance.host.client import Host, HostDied, HostTimedOut
from conformance.host.environment import host_environment
from conformance.host.frames import HEADER_LIMIT, TOTAL_LIMIT, Frame
from conformance.host.messages import Exit, Failed, Failure
from conformance.host.session import START_LIMIT

__all__ = ["answer_bundle", "main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Answer a bundle and return 0, or 2 where something does not fit."""
    parser = argparse.ArgumentParser(prog="python -m conformance.bundle.answer", description="Answer a bundle.")
    add = parser.add_argument
    add("folder", type=Path, metavar="FOLDER", help="the bundle, as `conformance export` wrote it")
    add("adapter", metavar="ADAPTER", help="an adapter's name, or module:Class")
    add("--label", metavar="LABEL", help="the folder of its answers (default: the adapter's name)")
    add("--device", choices=("cpu", "cuda"), default="cpu", help="where it computes (default: cpu)")
    add("--time-limit", type=float, default=60.0, metavar="SECONDS", help="for one request (default: 60)")
    options = parser.parse_args(arguments)
    label = options.label or options.adapter.replace(":", "-")
    try:
        check_time_limit(options.time_limit)
        find(options.adapter)
        if LABEL.fullmatch(label) is None:
            raise UsageError(f"--label is {label!r}, expected letters, digits and any of _ . + -")
        command = (sys.executable, "-m", "conformance.host.worker", options.adapter)
        answered, known = answer_bundle(options.folder, label, command, options.time_limit, options.device)
    except ConformanceError as error:
        sys.stderr.write(f"{parser.prog}: {error}\n")
        return error.exit_code
    sys.stdout.write(f"{options.folder / ANSWERS / label}: {answered} answered now, {known} were there\n")
    return 0


def answer_bundle(
    folder: Path, label: str, command: Sequence[str], time_limit: float, device: str = "cpu"
) -> tuple[int, int]:
    """Answer what is not answered yet; return how many that was, and how many were there.

    Raises:
        BundleError: the folder is no bundle, a request is malformed, or an answer cannot be written.
        HostError: the host cannot be started.
    """
    read_manifest(folder)
    requests = sorted((folder / REQUESTS).glob("*.safetensors"))
    if not requests:
        raise BundleError(f"{folder / REQUESTS}: found no request, expected some", hint="export again")
    wanted = [path for path in requests if not (folder / ANSWERS / label / path.name).exists()]
    with tempfile.TemporaryDirectory(prefix="conformance-", ignore_cleanup_errors=True) as scratch:
        asked = _Asked(command, host_environment(device, Path(scratch)), time_limit)
        try:
            for path in wanted:
                request = read_frame_file(path, HEADER_LIMIT + TOTAL_LIMIT)
                write_frame(folder / ANSWERS / label / path.name, asked.answer(request))
        finally:
            asked.close()
    return len(wanted), len(requests) - len(wanted)


class _Asked:
    """A host that is started when it is needed, and again after it died."""

    def __init__(self, command: Sequence[str], environment: dict[str, str], time_limit: float) -> None:
        self._command, self._environment, self._time_limit = command, environment, time_limit
        self._host: Host | None = None

    def answer(self, request: Frame) -> Frame:
        """Return the answer; of a host that dies, that it did."""
        fresh = self._host is None or not self._host.is_alive
        if fresh:
            self._host = Host(self._command, self._environment, self._time_limit)
        assert self._host is not None
        try:
            # The first request waits for the import of a framework, too.
            limit = self._time_limit + (START_LIMIT if fresh else 0)
            answer = self._host.request(request, limit)
        except HostTimedOut as error:
            answer = _failed(CRASH, error, "the implementation did not answer")
        except HostDied as error:
            answer = _failed(CRASH, error, "the implementation took its host down")
        except HostError as error:
            answer = _failed("protocol", error, "the host does not keep to the protocol")
        return replace(answer, token=request.token)

    def close(self) -> None:
        """End the host."""
        if self._host is not None:
            self._host.send_and_close(Frame(msgspec.json.encode(Exit())))


def _failed(step: str, error: HostError, what: str) -> Frame:
    return Frame(msgspec.json.encode(Failed(Failure(step, type(error).__name__, f"{what}: {error}"))))


if __name__ == "__main__":
    sys.exit(main())
