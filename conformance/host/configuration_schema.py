"""The JSON Schema of a file of hosts, for editors; generated from its model."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from conformance.host.configuration import NAME, HostEntry

__all__ = ["hosts_schema", "hosts_schema_text"]


def hosts_schema() -> dict[str, Any]:
    """Return the schema of a whole file, draft 2020-12; the loader also checks which keys go together."""
    (_,), definitions = msgspec.json.schema_components([HostEntry], ref_template="#/$defs/{name}")
    hosts = {
        "type": "object",
        "propertyNames": {"pattern": f"^{NAME.pattern}$"},
        "additionalProperties": {"$ref": "#/$defs/HostEntry"},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Hosts by command",
        "type": "object",
        "properties": {"implementations": hosts},
        "required": ["implementations"],
        "additionalProperties": False,
        "$defs": definitions,
    }


def hosts_schema_text() -> str:
    """Return the schema as the text of ``docs/hosts.schema.json``."""
    return json.dumps(hosts_schema(), indent=2, ensure_ascii=False) + "\n"
