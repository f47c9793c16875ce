"""A case as an entry of a case file."""

from __future__ import annotations

from typing import Any

import msgspec
import yaml

from conformance.corpus.case import Case
from conformance.corpus.load import NAME

__all__ = ["case_file", "entry"]


def entry(case: Case, name: str, fact: str, clauses: tuple[str, ...]) -> dict[str, Any]:
    """Return the entry: what is not the default, in the order of the model.

    Raises:
        ValueError: the name is none for a case.
    """
    if not NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name of a case: lower-case words joined by hyphens")
    written: dict[str, Any] = {"name": name, "fact": fact, "clauses": list(clauses)}
    plain = msgspec.to_builtins(case)
    for field in _changed(case):
        if field not in ("id", "fact", "clauses"):
            written[field] = _listed(plain[field])
    written["steps"] = [_short(step) for step in written["steps"]]
    if "x" in written:
        written["x"] = {field: written["x"][field] for field in _changed(case.x)}
    return written


def case_file(entries: list[dict[str, Any]], title: str) -> str:
    """Return the text of a case file."""
    return yaml.dump(
        {"title": title, "cases": entries}, Dumper=_Dumper, sort_keys=False, default_flow_style=None, width=110
    )


class _Dumper(yaml.SafeDumper):
    """Writes no anchors, which a case file may not have."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True


def _changed(record: msgspec.Struct) -> list[str]:
    """Return the names of the fields that do not hold their default."""
    defaults = {
        field.name: field.default_factory() if field.default_factory is not msgspec.NODEFAULT else field.default
        for field in msgspec.structs.fields(record)
    }
    return [name for name, default in defaults.items() if getattr(record, name) != default]


def _short(step: dict[str, Any]) -> dict[str, Any]:
    if step.get("observe") == [] and (step.get("hvp") or step.get("third") or step.get("jvp")):
        step = {key: value for key, value in step.items() if key != "observe"}
    return step


def _listed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _listed(one) for key, one in value.items()}
    return [_listed(one) for one in value] if isinstance(value, list | tuple) else value
