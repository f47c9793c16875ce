"""How verdicts, numbers, times and columns are put into words and signs."""

from __future__ import annotations

from dataclasses import dataclass

from conformance.results.rows import ImplementationRow, Number, Verdict

__all__ = ["PROVENANCE", "VERDICTS", "VerdictWords", "count", "duration", "label", "ratio", "size", "version"]


@dataclass(frozen=True)
class VerdictWords:
    """One verdict as the page shows it: its code in the data, its sign and its meaning."""

    name: Verdict
    code: str
    glyph: str
    meaning: str


#: In the order of columns and filters: what passes, what is not judged, what fails.
VERDICTS = (
    VerdictWords("agrees", "a", "✓", "every quantity inside the tight bound of the reference"),
    VerdictWords("rough", "r", "≈", "inside the bound for plain one-by-one summation only"),
    VerdictWords("deviates", "d", "◆", "a declared dialect or recorded deviation, observed exactly as declared"),
    VerdictWords("open", "o", "○", "the definition is silent; what was observed is shown"),
    VerdictWords("unsupported", "u", "–", "the implementation lacks the feature"),
    VerdictWords("differs", "x", "✗", "outside the bound and not declared"),
    VerdictWords("changed", "c", "▲", "declared or recorded, but it is otherwise now"),
    VerdictWords("crashed", "k", "■", "the implementation ended its process or ran past the time limit"),
    VerdictWords("void", "v", "∅", "the suite's own fault; counts for nobody"),
)

PROVENANCE = {
    "executed": "run by the suite on the machine named above",
    "recorded": "run elsewhere and brought in as a results file",
    "modelled": "not run: predicted from the declared dialect",
}


def label(row: ImplementationRow) -> str:
    """Return what a sentence calls a column: name, version and, unless they are the usual, mode, device, provenance."""
    unusual = [part for part, usual in ((row.execution, "eager"), (row.device, "cpu")) if part != usual]
    elsewhere = [] if row.provenance == "executed" else [f"({row.provenance})"]
    return " ".join((row.name, version(row), *unusual, *elsewhere))


def version(row: ImplementationRow) -> str:
    """Return the version in the id."""
    return row.id.partition("@")[2].partition(":")[0]


def ratio(value: Number | None) -> str:
    """Return a ratio with two significant digits, at most six characters.

    >>> ratio(0.0312), ratio(3417.2), ratio(1.25e6), ratio("inf")
    ('0.031', '3400', '1.2e6', '∞')
    """
    if value is None:
        return ""
    if isinstance(value, str):
        return {"inf": "∞", "-inf": "−∞"}.get(value, value)
    if value == 0:
        return "0"
    if value < 1e-3 or value >= 1e4:
        mantissa, _, exponent = f"{value:.1e}".partition("e")
        return f"{mantissa.removesuffix('.0')}e{int(exponent)}"
    return f"{float(f'{value:.1e}'):g}"


def count(number: int, noun: str) -> str:
    """Return the number with its noun: ``1 case``, ``1,200 cases``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """Return a duration as people say it: ``42 s``, ``3 min 12 s``, ``2 h 5 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.2g} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def size(value: Number | None) -> float:
    """Return a ratio as something to sort by: what is not a number counts as largest."""
    if value is None:
        return -1.0
    return float("inf") if isinstance(value, str) else value
