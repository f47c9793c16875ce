"""What a step does, in the words of a script's comments."""

from __future__ import annotations

from conformance.corpus.case import Step

__all__ = ["told"]


def told(step: Step) -> str:
    """Return what a step does, in words."""
    through, average = step.through_update or ("", ""), ", ".join(step.average or ())
    known = {
        "freeze the layer": step.freeze is True,
        "thaw the layer": step.freeze is False,
        "save, and go on with what is loaded": step.reload,
        f"train on {through[0]}, then evaluate {through[1]}": step.through_update is not None,
        f"the gradients of the call {step.backward}": step.backward is not None,
        f"keep the state as {step.save}": step.save is not None,
        f"put the state {step.restore} back": step.restore is not None,
        f"put the average of the states {average} in": bool(step.average),
        f"train on {step.converge} {step.times} times, evaluating it every {step.every}": step.converge is not None,
    }
    if any(known.values()):
        return next(words for words, holds in known.items() if holds)
    doing = "train on" if step.mode == "train" else "evaluate"
    if step.automatic is not None:
        doing = f"where {'a' if step.gradients else 'no'} gradient is taken, call in the framework's own mode"
    said = {"masked": step.masked, "recomputed": step.recompute, "folded": step.folded, "exported": step.exported}
    beside = [word for word, holds in said.items() if holds]
    return f"{doing} {', '.join(step.labels)}" + (f", {' and '.join(beside)}" if beside else "")
