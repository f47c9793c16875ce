"""Writes what README.md says in numbers: between markers, from the corpus, the definition and the records.

``python tools/front_page.py`` tells whether it is up to date, ``--write`` mends it.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from conformance.adapters.registry import AdapterSpec, known
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
    """Return the sentence that counts cases, clauses and variants."""
    definitions = load_definitions()
    cases = [case for definition in definitions for case in definition.cases]
    cited = {clause for case in cases for clause in case.clauses}
    tagged = sum(bool(case.tags) for case in cases)
    clauses = f"{'all' if len(cited) == len(CLAUSES) else f'{len(cited)} of the'} {len(CLAUSES)} clauses"
    return (
        f"Today: **{len(cases):,} cases** ({len(cases) - tagged:,} in the default set, {tagged} more by "
        f"`--tag large`), varied from\n{len(definitions)} questions, on {clauses} of "
        f"[the definition](docs/definition.md);\n"
        f"**{len(VARIANTS)} variants** of the oracle that can explain a deviation; "
        f"**{len(own_adapters())} implementations**, some of them in several executions."
    )


def implementations() -> str:
    """Return the table of adapters, a row for each way to install some."""
    head = ["| installed by | adapters |", "| --- | --- |"]
    rows: dict[str, list[str]] = {}
    for spec in own_adapters():
        rows.setdefault(spec[0].install, []).append(_with_executions(spec))
    return "\n".join([*head, *(f"| `{install}` | {', '.join(names)} |" for install, names in rows.items())])


def own_adapters() -> list[list[AdapterSpec]]:
    """Return the adapters that belong to the suite, each with all its executions."""
    found: dict[str, list[AdapterSpec]] = {}
    for name, spec in known().items():
        if spec.target.startswith("conformance.adapters."):
            found.setdefault(name.partition(":")[0], []).append(spec)
    return list(found.values())


def _with_executions(specs: list[AdapterSpec]) -> str:
    name = specs[0].name.partition(":")[0]
    executions = [spec.execution for spec in specs]
    shown = f"**`{name}`**" if specs[0].default else f"`{name}`"
    return shown if executions == ["eager"] else f"{shown} ({', '.join(executions)})"


def verdicts() -> str:
    """Return the table of verdicts."""
    head = ["| | verdict | meaning | pytest | exit code |", "| --- | --- | --- | --- | --- |"]
    return "\n".join([*head, *(_verdict(words) for words in VERDICTS)])


def _verdict(words: VerdictWords) -> str:
    outcome, code = _OUTCOMES[words.name]
    return f"| {words.glyph} | `{words.name}` | {words.meaning} | {outcome} | {code} |"


def deviations() -> str:
    """Return the table of the recorded deviations that have a thread upstream; count the others."""
    head = ["| what happens | who | seen in | upstream |", "| --- | --- | --- | --- |"]
    alike: dict[str, list[Deviation]] = {}
    for record in load_deviations():
        # The name of a record begins with that of its implementation, or of its package.
        alike.setdefault(record.name.partition(" ")[2], []).append(record)
    told = {what: records for what, records in alike.items() if any(map(_thread, records))}
    others = sum(len(records) for what, records in alike.items() if what not in told)
    rows = [_deviation(what, records) for what, records in told.items()]
    rest = f"{others} more records, most of them of 16-bit numbers, are in [the list](docs/deviations.md)."
    return "\n".join([*head, *rows, "", rest])


def _deviation(what: str, records: list[Deviation]) -> str:
    who = _unique(f"`{record.implementation}{record.versions}`" for record in records)
    where = _unique(f"`{name}`" for record in records for name in record.quantities or (record.raises,))
    shown = _listed(where) if len(where) < 9 else "all quantities"
    links = _unique(f"[{thread[1]}#{thread[2]}]({thread[0]})" for thread in map(_thread, records) if thread)
    return f"| {what} | {', '.join(who)} | {shown} | {', '.join(links)} |"


def _thread(record: Deviation) -> re.Match[str] | None:
    return re.fullmatch(r"https://github\.com/[^/]+/([^/]+)/(?:issues|pull)/(\d+)", record.upstream or "")


def _unique(items: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(items))


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
    "implementations": implementations,
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
