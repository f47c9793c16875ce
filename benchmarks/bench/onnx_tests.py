"""Quantities judged in a second: the suite beside ONNX' backend node tests of BatchNormalization.

Ours: the default set's cases on palette shapes that ask for no derivatives, put to ``onnx-reference-15`` in a host;
the quantities judged, over the whole time of the cells. Theirs: the node tests of BatchNormalization that ONNX
ships, each run as its backend test does, on the same reference implementation: model loaded, run, every output
compared; the outputs, over the time. Five pairs of rounds, measured in turn; the median of their ratios.
"""

from __future__ import annotations

import time

import numpy as np
from onnx.backend.test.case.node import collect_testcases
from onnx.reference import ReferenceEvaluator

from benchmarks.bench.common import Timed, Work, palette_cases
from benchmarks.bench.gradcheck import ours_over


def measure() -> dict[str, float]:
    """Return the figure."""
    tests = [test for test in collect_testcases("BatchNormalization") if "batchnorm" in test.name]
    cases = [case for case in palette_cases() if not any(s.gradients or s.differentiates for s in case.steps)]

    def theirs() -> Work:
        compared, start = 0, time.perf_counter()
        for test in tests:
            evaluator = ReferenceEvaluator(test.model)
            for inputs, outputs in test.data_sets:
                names = [one.name for one in test.model.graph.input]
                answers = evaluator.run(None, dict(zip(names, inputs, strict=True)))
                for expected, answer in zip(outputs, answers, strict=True):
                    np.testing.assert_allclose(answer, expected, rtol=test.rtol, atol=test.atol)
                    compared += 1
        return Work(compared, time.perf_counter() - start)

    def counted(cells: list[Timed]) -> float:
        return sum(len(one.cell.row.quantities) for one in cells)

    found, _, _ = ours_over(theirs, cases[::4], lambda _: True, "onnx-reference-15", counted)
    return {"onnx_rate_ratio": found}
