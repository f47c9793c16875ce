"""Writes the script of one cell: what is put in, the calls, and what was expected of each."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from conformance import __version__
from conformance.adapters.contract import Implementation
from conformance.adapters.scripts.writer import Call, CannotWrite, Writer
from conformance.corpus.case import Case, Step
from conformance.definition.clauses import CLAUSES
from conformance.definition.prediction import Expected, Prediction, Refused, Same
from conformance.definition.rules import Rules
from conformance.host.observation import Observation, Outcome, Raised
from conformance.repro.drawn import HELPERS as DRAWING
from conformance.repro.drawn import drawn
from conformance.repro.literals import INLINE, laid_out, literal, number_of, numbers
from conformance.repro.words import told
from conformance.verdict.attribution import clause_of
from conformance.verdict.compare import Comparison, compare
from conformance.verdict.distances import with_distances
from conformance.verdict.oracle import Question

__all__ = ["script"]

_COMPARE = '''

def compare(what, observed, expected, at, allowed):
    """Print both at one element; `allowed` is how far rounding alone may take it."""
    print(f"{what}: {observed.dtype} {observed.shape}")
    if observed.shape != expected.shape:
        print(f"  expected the shape {expected.shape}")
        return
    error = abs(float(observed[at]) - float(expected[at]))
    same = error <= allowed or (np.isnan(observed[at]) and np.isnan(expected[at])) or observed[at] == expected[at]
    print(f"  expected {expected[at]:.9g} at {at}")
    print(f"  observed {float(observed[at]):.9g}, off by {error:.3g}; rounding may cause {allowed:.3g}:", end=" ")
    print("fine" if same else "DIFFERS")
'''

def script(writer: Writer, who: Implementation, question: Question, seen: Observation) -> str:
    """Return the text of a script that repeats what was ``seen`` of a case, beside what is expected.

    What is expected is the prediction of the declared dialect, without any recorded deviation: what a choice makes
    different is no fault.

    Raises:
        CannotWrite: says what of the case the implementation has no plain way of writing.
    """
    return _Script(writer, who, question, with_distances(question, seen)).text()


@dataclass(frozen=True)
class _Script:
    writer: Writer
    who: Implementation
    question: Question
    seen: Observation

    @property
    def case(self) -> Case:
        return self.question.case

    @property
    def predicted(self) -> Prediction:
        return {} if self.case.open else self.question.predict(Rules(dialect=self.seen.dialect))

    def text(self) -> str:
        if (0, "outcome") in self.seen.outcomes:
            raise CannotWrite("the implementation refuses to build such a layer")
        steps = [line for number, step in enumerate(self.case.program, start=1) for line in self._step(number, step)]
        body = "\n".join(["", *self._inputs(), "", "# The layer", *self.writer.build(), *steps])
        helpers = [_COMPARE] if "compare(" in body else []
        helpers += [DRAWING] if "normal(0x" in body or "uniform(0x" in body else []
        return "\n".join([self._head(), *self._imports(), *helpers, body, ""])

    def _head(self) -> str:
        versions = ", ".join(f"{name} {version}" for name, version in self.who.versions.items())
        execution = "" if self.who.execution == "eager" else f", {self.who.execution}"
        cited = [f"{number} {CLAUSES[number].sentence}" for number in self.case.clauses]
        told = [
            self.case.fact,
            "",
            f"Case {self.case.id}",
            f"of batchnorm-conformance {__version__}, on {self.who.name} ({versions}){execution}.",
            "",
            *cited,
            "Expected values are computed from the definition in higher precision.",
        ]
        lines = [line for one in told for line in (textwrap.wrap(one, 108, break_long_words=False) or [""])]
        return '"""' + "\n".join(lines).replace("\\", "\\\\") + '\n"""\n'

    def _imports(self) -> list[str]:
        imports = self.writer.imports
        standard = [line for line in imports if line in _STANDARD]
        others = [line for line in imports if line and line not in _STANDARD]
        first = [line for line in others if line.startswith("import ")]
        rest = [line for line in others if not line.startswith("import ")]
        after = [line for line in rest if not line.startswith(("from ", "os.environ"))]
        before = [line for line in rest if line.startswith("os.environ")]
        froms = [line for line in rest if line.startswith("from ")]
        together = sorted({"import numpy as np", *first}) + sorted(froms)
        head = [*standard, *([""] if standard else []), *before, *([""] if before else [])]
        return [*head, *together, *(["", *after] if after else [])]

    def _inputs(self) -> Iterator[str]:
        for name, array in self.question.arrays.items():
            variable = name.replace(":", "_").replace(".", "_")
            if name.startswith(("v_", "dy:")) and not self._used(name):
                continue
            lines = [f"{variable} = {literal(array)}"] if array.size <= INLINE else self._drawn(name, variable)
            yield from lines
            if name.startswith("x:"):
                yield from laid_out(variable, array, self.case.memory)

    def _drawn(self, name: str, variable: str) -> list[str]:
        """Return the lines that draw a large array."""
        array = self.question.arrays[name]
        lines = drawn(self.case, name, variable, array)
        if lines is None:
            raise CannotWrite(f"{name} has {array.size} elements, and is not drawn by itself but made of others")
        return lines

    def _used(self, name: str) -> bool:
        kind, _, number = name.partition(":")
        step = self.case.program[int(number) - 1]
        return kind == "dy" or (kind == "v_x" and bool(step.third or step.jvp)) or kind[2:] in step.hvp

    def _step(self, number: int, step: Step) -> Iterator[str]:
        yield ""
        yield f"# Step {number}: {told(step)}"
        lines = self._calls(number, step)
        failed = self.seen.outcomes.get((number, "outcome"))
        wanted = isinstance(self.predicted.get((number, "outcome")), Refused)
        if failed is not None or wanted:
            yield from _guarded(number, lines, wanted=None if self.case.open else wanted)
            return
        yield from lines
        for statistic in step.observe:
            if statistic != "y" and (number, statistic) in self.seen.outcomes:
                yield f"{statistic}_{number} = {self.writer.read(statistic)}"
        for (at, name), outcome in self.seen.outcomes.items():
            if at == number:
                yield from self._comparison(number, name, outcome)
        same = self.predicted.get((number, "same"))
        if isinstance(same, Same):
            first = f"y_{same.earlier[0]}"
            yield (
                f'print("step {number}, y: the same bits as in step {same.earlier[0]}, as expected:",'
                f" y_{number}.tobytes() == {first}.tobytes())"
            )

    def _calls(self, number: int, step: Step) -> list[str]:
        """Return the lines that do a step."""
        if (lines := self._of_layer(number, step)) is not None:
            return lines
        writer, dy = self.writer, f"dy_{number}"
        if step.through_update is not None:
            earlier, later = (_variable(label) for label in step.through_update)
            return writer.through_update(number, earlier, later, dy)
        if step.backward is not None:
            call = self._call_named(step.backward)
            lines = writer.backward(number, call, step.gradients, dy)
            return self._as_before(call, lines) if self._outlived(call.number) else lines
        call = self._call(number, step)
        if step.differentiates:
            asked = [*(f"hvp_{name}" for name in step.hvp), *(["third_x"] if step.third else [])]
            asked += [{1: "jvp_y", 2: "jvp2_y"}[order] for order in step.jvp]
            return writer.derivatives(number, call, asked, dy)
        lines = self._forward(step, call)
        if self._outlived(number):
            lines += [f"{name}_{number} = {name}  # loading makes another" for name in writer.renewed]
        return lines + (writer.backward(number, call, step.gradients, dy) if step.gradients else [])

    def _outlived(self, number: int) -> bool:
        """Tell whether the layer is loaded anew between a call and a backward of it."""
        later, name = self.case.program[number:], self.case.program[number - 1].name
        ends = [k for k, step in enumerate(later) if name is not None and step.backward == name]
        return any(step.reload for step in later[: max(ends, default=0)])

    def _as_before(self, call: Call, lines: Sequence[str]) -> list[str]:
        """Return lines with the variables as they were at a call before the layer was loaded anew."""
        for name in self.writer.renewed:
            lines = [re.sub(rf"\b{name}\b", f"{name}_{call.number}", line) for line in lines]
        return list(lines)

    def _forward(self, step: Step, call: Call) -> list[str]:
        """Return the lines of a forward, by what the writer has for its kind."""
        if step.folded:
            bias = f"bias_{call.number}" if step.folded != "unbiased" else None
            groups = self.case.layer.channels if step.folded == "depthwise" else 1
            return self.writer.fold(call, f"kernel_{call.number}", bias, groups)
        if step.exported:
            return self.writer.export(call)
        if step.automatic is not None:
            return self.writer.automatic(call)
        return self.writer.replicate(call) if call.replicas else self.writer.forward(call)

    def _of_layer(self, number: int, step: Step) -> list[str] | None:
        """Return the lines of a step that is no single call: one that does something to the layer or its state."""
        lines = None
        if step.freeze is not None:
            lines = self.writer.freeze(wanted=step.freeze)
        elif step.reload:
            lines = self.writer.reload()
        elif step.save is not None:
            kept = ", ".join(f'"{name}": {self.writer.read(name)}' for name in self.writer.state_names)
            lines = [f"kept_{_identifier(step.save)} = {{{kept}}}"]
        elif step.moves_state:
            lines = self._put_back(step.average or (step.restore or "",))
        elif step.converge is not None:
            lines = self._converge(number, step, _variable(step.converge))
        return lines

    def _put_back(self, names: Sequence[str]) -> list[str]:
        """Return the lines that put a kept state back, or the average of several."""
        lines = []
        for statistic in self.writer.state_names:
            kept = [f'kept_{_identifier(name)}["{statistic}"]' for name in names]
            array = kept[0]
            if len(kept) > 1:
                array = f"{statistic}_average"
                wide = ", ".join(f"{one}.astype(np.float64)" for one in kept)
                lines.append(f"{array} = np.mean([{wide}], axis=0).astype({kept[0]}.dtype)")
            lines += self.writer.put(statistic, array)
        return lines

    def _converge(self, number: int, step: Step, x: str) -> list[str]:
        """Return the loop that trains on one batch again and again, and evaluates it now and then."""
        evaluate, train = (self.writer.forward(Call(number, x, mode)) for mode in ("evaluate", "train"))
        return [
            "evaluated = []",
            f"for k in range({step.times + 1}):",
            f"    if k % {step.every} == 0:",
            *(f"        {line}" if line else "" for line in evaluate),
            f"        evaluated.append(y_{number}.astype(np.float64))",
            f"    if k < {step.times}:",
            *(f"        {line}" if line else "" for line in train),
            f"        trained = y_{number}.astype(np.float64) if k == 0 else trained",
            f"mse_{number} = np.array([np.mean((one - trained) ** 2) for one in evaluated])",
        ]

    def _call_named(self, name: str) -> Call:
        number, step = next((k, one) for k, one in enumerate(self.case.program, start=1) if one.name == name)
        return self._call(number, step)

    def _call(self, number: int, step: Step) -> Call:
        """Return the forward of a step, with what later steps ask of it."""
        later = [one for one in self.case.program if step.name is not None and one.backward == step.name]
        wrt = {*step.gradients, *(name for one in later for name in one.gradients)}
        return Call(
            number, _variable(step.labels[0]), step.mode or "train", differentiated=bool(wrt),
            recompute=step.recompute, mask=f"mask_{_variable(step.labels[0])[2:]}" if step.masked else None,
            wrt=frozenset(wrt), replicas=tuple(map(_variable, step.replicas or ())),
        )  # fmt: skip

    def _distance(self, number: int, name: str) -> str:
        """Return the mean square distance of an output to an earlier one, or to a target, as an array of one number."""
        named = {step.name: k for k, step in enumerate(self.case.program, start=1)}
        step = self.case.program[number - 1]
        other = f"y_{named[step.against]}" if name == "mse" else _variable(step.target or "")
        return f"np.array([np.mean((y_{number}.astype(np.float64) - {other}.astype(np.float64)) ** 2)])"

    def _comparison(self, number: int, name: str, outcome: Outcome) -> Iterator[str]:
        if isinstance(outcome, Raised):
            return
        expected, what = self.predicted.get((number, name)), f"step {number}, {name}"
        if not isinstance(expected, Expected):
            yield f'print("{what}:", {name}_{number})  # the definition does not say'
            return
        if outcome.dtype.name != expected.dtype and "bfloat16" not in (outcome.dtype.name, expected.dtype):
            yield f'print("{what}: expected {expected.dtype}, observed", {name}_{number}.dtype)'
            outcome = outcome.astype(expected.dtype)
        if name in ("mse", "loss") and self.case.program[number - 1].converge is None:
            yield f"{name}_{number} = {self._distance(number, name)}"
        compared = compare(outcome, expected)
        at = compared.worst if isinstance(compared, Comparison) and outcome.size else (0,) * expected.value.ndim
        clause = CLAUSES[clause_of(self.case, (number, name))]
        if clause.formula:
            yield f"# {clause.number}: {clause.formula}"
        if not outcome.size:
            yield f'print("{what}:", {name}_{number}.shape, "expected {expected.value.shape}")'
            return
        bound = float(expected.plain[at]) if outcome.shape == expected.value.shape else 0.0
        if expected.value.size <= INLINE:
            yield f"expected = {numbers(expected.value)}"
        else:
            yield f"expected = np.broadcast_to({number_of(expected.value[at])}, {expected.value.shape})  # there"
        yield f'compare("{what}", {name}_{number}, expected, at={at}, allowed={bound:.3g})'


_STANDARD = frozenset({"import io", "import os", "import pickle", "import tempfile"})


def _variable(label: str) -> str:
    return f"x_{label}".replace(".", "_")


def _identifier(name: str) -> str:
    """Return the name of a kept state as a part of a variable's."""
    return name.replace("-", "_").replace(".", "_")


def _guarded(number: int, lines: list[str], *, wanted: bool | None) -> Iterator[str]:
    """Yield the lines inside a try, with what is expected of them."""
    expected = {True: "expected an error", False: "expected an answer", None: "the definition does not say what"}
    yield "try:"
    yield from (f"    {line}" if line else "" for line in lines)
    yield f'    print("step {number}: raised nothing; {expected[wanted]}")'
    yield "except Exception as error:"
    yield f'    print("step {number}: raised", type(error).__name__, "-", error, "({expected[wanted]})")'
