"""What frameworks share that promote 16-bit input which meets float32."""

from __future__ import annotations

from conformance.corpus.case import Case

__all__ = ["promotes"]


def promotes(case: Case) -> bool:
    """Tell whether parameters or running statistics of another dtype enter the output of 16-bit input."""
    affine = case.gamma != "none" or case.beta != "none"
    evaluated = case.tracked and any(step.mode == "evaluate" for step in case.steps)
    return case.dtype in ("float16", "bfloat16") and case.layer.param_dtype != case.dtype and (affine or evaluated)
