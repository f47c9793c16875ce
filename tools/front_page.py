"""Writes what README.md says in numbers: between markers, from the corpus, the definition and the records.

``python tools/front_page.py`` tells whether it is up to date, ``--write`` mends it.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from pathlib import Path

from conformance.adapters.registry import known
from conformance.corpus.load import load_corpus, load_definitions
from conformance.definition.clauses import AREAS, CLAUSES
from conformance.definition.variants import VARIANTS
from conformance.report.wording import VERDICTS, VerdictWords
from conformance.verdict.deviations import Deviation, load_deviations

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "README.md"

#: What pytest makes of a cell, and what it does to the exit code of `conformance run`.
_OUTCOMES = {
    "agrees": ("passes", "0"),
    "rough": ("passes", "0"),
    "deviates": ("xfails", "0"),
    "open": ("passes", "0"),
    "unsupported": ("skips", "0"),
    "differs": ("fails", "1"),
    "changed": ("fails", "1"),
    "crashed": ("fails", "1"),
    "void": ("errors", "3"),
}


def numbers() -> str:
    """Return the sentence that counts cases, clauses, variants and adapters."""
    definitions = load_definitions()
    cases = [case for definition in definitions for case in definition.cases]
    cited = {clause for case in cases for clause in case.clauses}
    adapters = _listed([f"`{name}`" for name in known_here()])
    return (
        f"Today: **{len(cases)} cases**, varied from {len(definitions)} questions, "
        f"on {len(cited)} of the {len(CLAUSES)} clauses of [the definition](docs/definition.md);\n"
        f"**{len(VARIANTS)} variants** of the oracle that can explain a deviation; adapters {adapters}."
    )


def known_here() -> list[str]:
    """Return the names of the adapters that belong to the suite, each once, however it executes."""
    names = (name for name, spec in known().items() if spec.target.startswith("conformance.adapters."))
    return list(dict.fromkeys(name.partition(":")[0] for name in names))


def verdicts() -> str:
    """Return the table of verdicts."""
    head = ["| | verdict | meaning | pytest | exit code |", "| --- | --- | --- | --- | --- |"]
    return "\n".join([*head, *(_verdict(words) for words in VERDICTS)])


def _verdict(words: VerdictWords) -> str:
    outcome, code = _OUTCOMES[words.name]
    return f"| {words.glyph} | `{words.name}` | {words.meaning} | {outcome} | {code} |"


def deviations() -> str:
    """Return the table of recorded deviations."""
    head = ["| implementation | what happens | seen in | upstream |", "| --- | --- | --- | --- |"]
    return "\n".join([*head, *(_deviation(record) for record in load_deviations())])


def _deviation(record: Deviation) -> str:
    # The name of a record begins with that of its implementation, or of its package.
    what = record.name.partition(" ")[2]
    where = _listed([f"`{name}`" for name in record.quantities])
    link = re.fullmatch(r"https://github\.com/[^/]+/([^/]+)/(?:issues|pull)/(\d+)", record.upstream)
    shown = f"[{link[1]}#{link[2]}]({record.upstream})" if link else record.upstream
    return f"| `{record.implementation}{record.versions}` | {what} | {where} | {shown} |"


def uncovered() -> str:
    """Return the sentence that names the areas of the definition without a case."""
    cited = {clause for case in load_corpus() for clause in case.clauses}
    covered = {CLAUSES[number].area for number in cited}
    absent = [f"{number} {area.lower()}" for number, area in AREAS.items() if area not in covered]
    clauses = [number for number in CLAUSES if number not in cited and CLAUSES[number].area in covered]
    wholly = f"Areas of the definition without a case yet: {'; '.join(absent)}." if absent else ""
    partly = f"In the others, clauses without one: {', '.join(clauses)}." if clauses else ""
    return "  \n".join(filter(None, (wholly, partly))) or "Every clause of the definition has a case."


def _listed(items: list[str]) -> str:
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


#: The generated parts, by the name in their markers.
PARTS: dict[str, Callable[[], str]] = {
    "numbers": numbers,
    "verdicts": verdicts,
    "deviations": deviations,
    "uncovered": uncovered,
}


def filled(text: str) -> str:
    """Return the page with every generated part as it is now.

    Raises:
        ValueError: a part has no pair of markers.
    """
    for name, part in PARTS.items():
        start, end = f"<!-- generated: {name} -->\n", "<!-- end -->"
        before, found, after = text.partition(start)
        _, closed, after = after.partition(end)
        if not (found and closed):
            raise ValueError(f"{PAGE.name} has no `{start.strip()}` with an `{end}` after it")
        text = f"{before}{start}{part()}\n{end}{after}"
    return text


def main() -> int:
    """Check the page, or write it; return 1 if it is out of date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the page")
    written = PAGE.read_text(encoding="utf-8")
    wanted = filled(written)
    if parser.parse_args().write:
        PAGE.write_text(wanted, encoding="utf-8")
        return 0
    if written != wanted:
        print(f"{PAGE.name} is out of date; `make docs` writes it", file=sys.stderr)
    return int(written != wanted)


if __name__ == "__main__":
    sys.exit(main())
