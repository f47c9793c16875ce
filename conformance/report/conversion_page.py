"""The page of conversions: what each implementation calls things, and what no renaming carries over."""

from __future__ import annotations

from collections.abc import Mapping

from conformance.report.dialects import SILENT, DialectTable
from conformance.report.grid import Grid
from conformance.report.markup import Child, Markup, element, join
from conformance.report.words import plain_table

__all__ = ["conversion_page"]

#: A weight of the new batch, to show how each implementation writes it.
_WEIGHT = 0.1
#: Values per channel, for which the effect of the estimator is told.
_VALUES = (2, 8, 32, 256, 4096)
_CHANNELS = {"second": "the second axis", "last": "the last axis", "either": "either axis"}

Names = Mapping[str, "str | float"]


def conversion_page(grid: Grid, dialects: DialectTable) -> Markup:
    """Return the names side by side, the choices that part, the effect of the estimator, and how to prove a recipe."""
    named = {row.name: row.names for row in grid.results.run.implementations if row.names}
    if not named:
        return element("p", "No implementation of this run has its names written down.")
    return join((_names(named), _kept(named), _lost(dialects), _estimator(), _recipe(list(named))))


def _names(named: Mapping[str, Names]) -> Markup:
    titles = ("Implementation", "Constructor", "A new batch of weight 0.1", "Weight by default", "Epsilon by default",
              "Scale, offset", "Running mean, variance", "Channels in")  # fmt: skip
    table = plain_table("Names", titles, [(name, *_cells(names)) for name, names in named.items()])
    return join((element("h2", "The same thing, as each calls it"), table))


def _cells(names: Names) -> tuple[Child, ...]:
    weight = _WEIGHT if names.get("momentum_weighs") == "new" else 1 - _WEIGHT
    return (
        _code(names, "constructor"), element("code", f"{names.get('momentum')}={weight:g}"), _default(names),
        f"{names['epsilon_default']:g}" if "epsilon_default" in names else "must be given",
        _pair(names, "gamma", "beta"), _pair(names, "running_mean", "running_var"),
        _CHANNELS.get(str(names.get("layout")), ""),
    )  # fmt: skip


def _default(names: Names) -> str:
    given = names.get("momentum_default")
    if not isinstance(given, float):
        return "must be given"
    return f"{given if names.get('momentum_weighs') == 'new' else 1 - given:.4g}"


def _code(names: Names, name: str) -> Markup:
    return element("code", str(names.get(name, "")))


def _pair(names: Names, one: str, other: str) -> Markup:
    return join((_code(names, one), ", ", _code(names, other)))


def _kept(named: Mapping[str, Names]) -> Markup:
    notes = [element("li", element("strong", name), ": ", str(names["note"])) for name, names in named.items()
             if names.get("note")]  # fmt: skip
    return join((element("h2", "What else there is to carry"), element("ul", notes))) if notes else Markup("")


def _lost(dialects: DialectTable) -> Markup:
    rows = []
    for line in (row for row in dialects.rows if not row.unanimous and row.choice != "momentum"):
        chosen: dict[str, list[str]] = {}
        for column, option in zip(dialects.columns, line.options, strict=True):
            if option not in SILENT:
                chosen.setdefault(option, []).append(f"{column.name} {column.mode}".strip())
        told = "; ".join(f"{option}: {', '.join(dict.fromkeys(names))}" for option, names in chosen.items())
        rows.append((line.choice.replace("_", " "), told))
    lead = element("p", "Parameters and state carry over as they are. What an implementation then does with them may "
                   "not: from one group to another no argument preserves these.")  # fmt: skip
    table = plain_table("Choices", ("Choice", "Who does what"), rows) if rows else element("p", "Nothing, here.")
    return join((element("h2", "What no renaming preserves"), lead, table))


def _estimator() -> Markup:
    rows = [
        (f"{n:,}", f"{100 * (1 / (n - 1)):.3g} %", f"{100 * ((n / (n - 1)) ** 0.5 - 1):.3g} %") for n in _VALUES
    ]
    lead = element("p", "Sample and population estimator differ by the factor n / (n - 1), where n is the number of "
                   "values per channel. A state carried over keeps its value; one that is trained further tends to "
                   "the other estimate, and with it the outputs of evaluate, by the root of the factor.")  # fmt: skip
    titles = ("Values per channel", "Running variances apart", "Outputs of evaluate apart")
    return join((element("h2", "How large the effect of the estimator is"), lead,
                 plain_table("Effect of the estimator", titles, rows)))  # fmt: skip


def _recipe(names: list[str]) -> Markup:
    pair = (names + names)[:2] if len(names) < 3 else names[1:3]
    command = element("code", f"conformance convert {pair[0]} {pair[1]} --momentum 0.1")
    told = element("p", command, " writes one out for two of them, with your numbers, and runs a layer on both sides "
                   "over several steps: what is carried over, and what is lost, to the digit.")  # fmt: skip
    return join((element("h2", "A recipe, proved"), told))
