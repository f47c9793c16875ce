"""Elements of second derivatives checked in a second: the suite beside ``torch.autograd.gradgradcheck``.

Ours: the default set's cases on palette shapes that ask for Hessian-vector products, put to ``torch`` in a host;
the elements judged of their products in ``x``, ``dy`` and ``gamma``, over the whole time of the cells. Theirs:
PyTorch's own OpInfo samples of ``nn.functional.batch_norm`` in float64, with the default options; the elements of
the inputs and of the upstream gradient, whose second derivatives are checked, over the time. Five pairs of rounds,
measured in turn; the median of their ratios.
"""

from __future__ import annotations

import torch

from benchmarks.bench.common import Work, palette_cases
from benchmarks.bench.gradcheck import checked, ours_over


def measure() -> dict[str, float]:
    """Return the figure."""
    torch.set_num_threads(1)
    cases = [case for case in palette_cases() if any(step.hvp for step in case.steps)]
    found, _, _ = ours_over(_theirs, cases, lambda row: row.name.startswith("hvp_"))
    return {"gradgradcheck_rate_ratio": found}


def _theirs() -> Work:
    outputs = []

    def check(function: object, inputs: tuple[torch.Tensor, ...]) -> bool:
        outputs.append(function(*inputs).numel())  # type: ignore[operator]
        return bool(torch.autograd.gradgradcheck(function, inputs))

    work, _ = checked(check)
    return Work(work.checked + sum(outputs), work.seconds)
