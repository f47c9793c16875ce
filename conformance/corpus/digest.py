"""One hash for a set of cases, so that results tell which questions they answer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable

import msgspec

from conformance.corpus.case import Case

__all__ = ["digest"]


def digest(cases: Iterable[Case]) -> str:
    """Return the SHA-256, in hexadecimal, of the canonical JSON of the cases sorted by id."""
    rows = [msgspec.to_builtins(case) for case in sorted(cases, key=lambda case: case.id)]
    return hashlib.sha256(json.dumps(rows, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
