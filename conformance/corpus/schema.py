"""The JSON Schema of a case file, for editors; generated from the case model."""

from __future__ import annotations

import copy
import json
import re
from typing import Any

import msgspec

from conformance.corpus.case import Case
from conformance.corpus.expand import PARAMETER, VALUE
from conformance.corpus.load import NAME

__all__ = ["schema", "schema_text"]


def schema() -> dict[str, Any]:
    """Return the schema of a whole case file, draft 2020-12.

    It is looser than the loader, which also checks what depends on several fields.
    """
    (_,), definitions = msgspec.json.schema_components([Case], ref_template="#/$defs/{name}")
    model = definitions.pop("Case")
    model["properties"].pop("id")
    change = {**copy.deepcopy(model), "title": "Change", "required": []}
    change["description"] = "Fields laid over the case: mappings merge, all else is replaced."
    definition = {**model, "title": "Definition", "required": ["name", "fact", "clauses"]}
    definition["properties"] = {
        "name": {"type": "string", "pattern": _whole(NAME), "description": "Unique in the file."},
        "vary": _vary(),
        **model["properties"],
    }
    definition["description"] = "A case, or several by way of `vary`."
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Batch normalisation cases",
        "type": "object",
        "properties": {
            "title": {"type": "string"},
            "cases": {"type": "array", "items": {"$ref": "#/$defs/Definition"}},
        },
        "required": ["title", "cases"],
        "additionalProperties": False,
        "$defs": {"Definition": definition, "Change": change, **definitions},
    }


def schema_text() -> str:
    """Return the schema as the text of ``cases/case.schema.json``."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def _whole(pattern: re.Pattern[str]) -> str:
    return f"^{pattern.pattern}$"


def _vary() -> dict[str, Any]:
    scalars = {"type": "array", "minItems": 1, "items": {"type": ["string", "number", "boolean"]}}
    changes = {
        "type": "object",
        "minProperties": 1,
        "propertyNames": {"pattern": _whole(VALUE)},
        "additionalProperties": {"$ref": "#/$defs/Change"},
    }
    return {
        "type": "object",
        "minProperties": 1,
        "propertyNames": {"pattern": _whole(PARAMETER)},
        "additionalProperties": {"oneOf": [scalars, changes]},
        "description": "Parameter to values, or to labels with changes; every combination is a case.",
    }
