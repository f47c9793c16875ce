"""Spoilt input: sound texts and bytes with something odd in them, drawn by Hypothesis."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import yaml
from hypothesis import strategies as st

__all__ = ["DEEP", "ODD_NUMBERS", "TREES", "as_json", "as_toml", "as_yaml", "changed", "texts", "torn"]

ODD_NUMBERS = st.sampled_from(
    [0, -1, 1, 2**31, 2**53 + 1, 2**63, 2**64, -(2**70), 10**400, 1e308, -0.0, 0.5, 1e-320]
)
_ODD_TEXT = st.sampled_from(
    ["", "x", "4x3x7", "0x3", "99999999999x3", "9" * 5000, "1x" * 200 + "1", "nan", "inf", "-inf", "NaN", "\x00",
     "../../etc", "a/b[c=d]", "\U0001f600", "\ud7ff", "__metadata__", "!!python/object:os.system", "=", "*", "1.1"]
)  # fmt: skip
_SCALARS = st.one_of(st.none(), st.booleans(), ODD_NUMBERS, _ODD_TEXT, st.integers(-3, 5))
TREES = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text("abckindx", max_size=6), inner)),
    max_leaves=12,
)
DEEP = st.integers(1, 3000).map(lambda depth: "[" * depth + "]" * depth)


@st.composite
def changed(draw: st.DrawFn, tree: Any) -> Any:
    """Draw the tree with a few of its values replaced, removed, doubled or added to."""
    made = json.loads(json.dumps(tree))
    for _ in range(draw(st.integers(1, 3))):
        spots = list(_spots(made))
        if not spots:
            break
        holder, key = draw(st.sampled_from(spots))
        act = draw(st.sampled_from(("replace", "replace", "remove", "add")))
        with suppress(KeyError, IndexError):  # an earlier change may have taken the spot away
            if act == "replace":
                holder[key] = draw(TREES)
            elif act == "remove":
                del holder[key]
            elif isinstance(holder, dict):
                holder[draw(_ODD_TEXT)] = draw(_SCALARS)
            else:
                holder.append(draw(TREES))
    return made


def _spots(tree: Any) -> list[tuple[Any, Any]]:
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [spot for key, value in items for spot in ((tree, key), *_spots(value))]


@st.composite
def torn(draw: st.DrawFn, whole: bytes) -> bytes:
    """Draw the bytes with a few cut out, overwritten or put in."""
    made = bytearray(whole)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(made)))
        stop = min(len(made), start + draw(st.integers(0, 8)))
        made[start:stop] = draw(st.binary(max_size=8))
    return bytes(made)


def as_json(tree: Any) -> bytes:
    """Return the tree as JSON; half a surrogate pair is not UTF-8, and stays so."""
    return json.dumps(tree).encode(errors="surrogatepass")


_BOMB = "a: &a [x, x]\n" + "".join(
    f"{name}: &{name} [*{one}, *{one}, *{one}]\n" for one, name in zip("abcdefgh", "bcdefghi", strict=True)
)
_TAGS = "title: !!python/object/apply:os.system ['touch executed']\ncases: []\n"


def as_yaml(tree: Any) -> bytes:
    """Return the tree as YAML."""
    return yaml.safe_dump(tree, allow_unicode=True, sort_keys=False).encode(errors="surrogatepass")


def as_toml(tree: Any) -> bytes:
    """Return a table as TOML, each of its values in one line; what TOML has no word for is ``nan``."""
    rows = (f"{json.dumps(key)} = {_inline(value)}\n" for key, value in tree.items())
    return "".join(rows).encode(errors="surrogatepass")


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {_inline(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_inline, value)) + "]"
    return "nan" if value is None else json.dumps(value)


def texts(tree: Any) -> st.SearchStrategy[bytes]:
    """Draw a spoilt YAML file: a tree that was changed, torn bytes, anything, bombs and tags."""
    return st.one_of(
        changed(tree).map(as_yaml), torn(as_yaml(tree)), TREES.map(as_yaml), DEEP.map(str.encode),
        st.sampled_from([_BOMB.encode(), _TAGS.encode(), b"{" * 400, b"- " * 4000, b"? " * 300, b"%YAML 9.9\n---\n"]),
        st.text("ab:-[]{}&*!|>%@\"'#?,\n \t", max_size=60).map(str.encode),
    )  # fmt: skip
