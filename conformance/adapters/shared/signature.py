"""What a constructor or a function takes where nothing is said, read from its signature."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

from conformance.adapters.contract import Defaults

__all__ = ["defaults_of"]

_PLAIN = (bool, int, float, str, type(None), tuple, list)


def defaults_of(call: Callable[..., Any], name: str) -> Defaults:
    """Return the defaults of a class or function that its users know as ``name``.

    A default that is a function or a class is told by its name; an object that has none is left out.
    """
    given = {one.name: text for one in _parameters(call) if (text := _text(one.default)) is not None}
    return Defaults(read_from=f"the signature of {name}", arguments=given)


def _parameters(call: Callable[..., Any]) -> list[inspect.Parameter]:
    """Return the parameters; of a class that hands all of its own on, those of the first base that has some."""
    if not inspect.isclass(call) or dataclasses.is_dataclass(call):
        return list(inspect.signature(call).parameters.values())
    for one in call.__mro__:
        if (made := vars(one).get("__init__")) is None:
            continue
        own, *found = inspect.signature(made).parameters.values()
        if any(parameter.kind not in (own.VAR_POSITIONAL, own.VAR_KEYWORD) for parameter in found):
            return found
    return []


def _text(default: Any) -> str | None:
    if default is inspect.Parameter.empty:
        return None
    return repr(default) if isinstance(default, _PLAIN) else getattr(default, "__name__", None)
