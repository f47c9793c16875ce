"""Names that a case file gives, and what they are made of."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import msgspec

__all__ = ["ClauseNumber", "Label", "Name"]

#: Of tags.
Name: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
#: Of inputs, calls and kept states.
Label: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_]*$")]
ClauseNumber: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^[0-9]+\.[0-9]+$")]
