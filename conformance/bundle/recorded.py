"""Answers that were recorded elsewhere, read as a host's are: each is held against the question of today."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from conformance.adapters.contract import Implementation
from conformance.bundle.layout import DESCRIBE, BundleError, MissingError, file_name, read_frame_file
from conformance.bundle.requests import request_of
from conformance.corpus.case import Case
from conformance.errors import HostError
from conformance.host.answers import Fault, answer_of, observation_of, told
from conformance.host.frames import Frame
from conformance.host.messages import Described, Ran
from conformance.host.observation import Crashed, Faulty, Observation
from conformance.pages import page

__all__ = ["CRASH", "Recorded"]

#: ``step`` of a failure that stands for an implementation which took its process down.
CRASH = "crash"
#: An answer has a few arrays of the size of its inputs for each call, and text.
_ROOM, _TIMES = 32 * 2**20, 64
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,99}")
_LONGEST = 1000


class Recorded:
    """The answers of one implementation in a bundle, as a session that starts nothing.

    Args:
        folder: where the answers are.
        numbers: of each case of the bundle, by its id.

    Raises:
        BundleError: it is not said who answered, or not in the words of the protocol.
    """

    def __init__(self, folder: Path, numbers: Mapping[str, int]) -> None:
        self.folder, self.numbers = folder, numbers
        self._implementation = self._described()

    @property
    def implementation(self) -> Implementation:
        """Return who answered."""
        return self._implementation

    def observe_apart(self, case: Case) -> None:
        """Return nothing: what was recorded cannot be asked again."""

    def observe(self, case: Case) -> Observation | Crashed | Faulty:
        """Return what was answered to a case of the bundle.

        Raises:
            MissingError: it is not answered.
            BundleError: the file is no answer to this question.
        """
        request = request_of(case)
        path = self.folder / file_name(self.numbers[case.id])
        frame = read_frame_file(path, _ROOM + _TIMES * sum(array.nbytes for array in request.arrays.values()))
        _refuse_foreign(path, frame, request.token, case)
        try:
            return observation_of(*answer_of(frame, Ran), calls=len(case.program))
        except HostError as error:
            return Faulty(f"the answer does not keep to the protocol: {error}")
        except Fault as fault:
            return Crashed(fault.failure.message) if fault.failure.step == CRASH else Faulty(told(fault.failure))

    def strangers(self) -> Iterator[str]:
        """Yield a message for each answer to a request that the bundle does not have."""
        known = {file_name(number) for number in (DESCRIBE, *self.numbers.values())}
        for path in sorted(self.folder.glob("*.safetensors")):
            if path.name not in known:
                yield f"{path}: answers no request of this bundle; was it copied from another one?"

    def _described(self) -> Implementation:
        path = self.folder / file_name(DESCRIBE)
        try:
            described, _ = answer_of(read_frame_file(path, _ROOM), Described)
        except MissingError:
            raise BundleError(
                f"{path}: missing; expected the answer to `describe`, which names the implementation",
                hint="start the answering program again: it answers what is missing",
            ) from None
        except HostError as error:
            hint = f"{page('protocol.md')} shows the answer to describe"
            raise BundleError(f"{path}: {error.args[0]}", hint=hint) from None
        except Fault as fault:
            raise BundleError(
                f"{path}: the implementation could not be asked: {told(fault.failure)}",
                hint="mend that on its machine, delete the file, and start the program again",
            ) from None
        _refuse_odd_names(path, described.implementation)
        return described.implementation


def _refuse_foreign(path: Path, frame: Frame, token: str, case: Case) -> None:
    if frame.token != token:
        found = f"token {frame.token[:64]!r}" if frame.token else "no token"
        raise BundleError(
            f"{path}: found {found}, expected {token}: this does not answer {case.id} as this suite asks it",
            hint="it was copied from another bundle, or the case has changed since the export: "
            "export again, and answer that",
        )


def _refuse_odd_names(path: Path, who: Implementation) -> None:
    """What names a column becomes a part of ids and file names, and is printed on terminals."""
    words = {"name": who.name, "execution": who.execution, "device": who.device}
    words |= {"version": next(iter(who.versions.values()), "")}
    for field, word in words.items():
        if _WORD.fullmatch(word) is None:
            raise BundleError(
                f"{path}: found {field} {word[:80]!r}, expected up to 100 letters, digits and any of _ . + -",
                hint="the program's answer to `describe` names what it runs",
            )
    texts = [who.documentation, *who.versions, *who.versions.values(), *who.settings, *who.settings.values()]
    if any(len(text) > _LONGEST or not text.isprintable() for text in texts):
        raise BundleError(
            f"{path}: found a text that is very long or not printable, expected lines of up to {_LONGEST} characters",
            hint="shorten documentation, versions and settings in the answer to `describe`",
        )
