"""Whether what is handed to an adapter means the same to the framework: momentum, epsilon, mode, channels."""

from __future__ import annotations

import numpy as np

from conformance.adapters.contract import Array
from conformance.corpus.case import Case
from conformance.definition.rules import Rules
from conformance.definition.running_state import update_weight
from conformance.smoke.check import BOTH, Subject, UnfitError, integers, small_case

__all__ = ["finds_the_channels", "hands_on_epsilon", "obeys_the_mode", "places_parameters", "weighs_the_new_batch"]

_MOMENTUM = 0.25
_FAR = 64
#: What frameworks take where no momentum is given, as the weight of the new batch.
_DEFAULTS = (0.1, 0.01, 0.001)


def weighs_the_new_batch(subject: Subject) -> None:
    """See with which weight a second batch, of another mean, enters the running mean."""
    case = _trained(subject)
    layer = subject.built(case, running_mean=(0, 0, 0), running_var=(1, 1, 1))
    means = []
    for mean in (4, -12):
        x = subject.shaped(np.repeat([[mean - 2.0], [mean + 2.0]], 3, axis=1).astype("float32"))
        called = layer.forward(x, "train")
        if case.steps[0].gradients:  # there are implementations whose backward moves the state
            called.backward(np.ones_like(x), ("x",))
        means.append(float(layer.get_state()["running_mean"][0]))
    first, second = means
    if first == second == 0:
        raise UnfitError(
            "running_mean was 0, and is 0 after training on batches of the means 4 and -12", "a state that moves",
            "call the framework in its training mode, and read the state from where it then is, not from a copy",
        )  # fmt: skip
    rules = Rules(dialect=subject.adapter.dialect_for(case.layer))
    weight = (second - first) / (-12 - first)
    if not _near(weight, update_weight(2, _MOMENTUM, rules)):
        raise UnfitError(
            f"with momentum {_MOMENTUM} a batch entered running_mean with the weight {weight:.4g}",
            f"{float(update_weight(2, _MOMENTUM, rules)):.4g}: momentum weighs the new batch", _remedy(weight, rules),
        )  # fmt: skip


def _remedy(weight: float, rules: Rules) -> str:
    if _near(weight, update_weight(2, 1 - _MOMENTUM, rules)):
        return "the framework's momentum weighs the old state: give it 1 - momentum"
    if any(_near(weight, update_weight(2, default, rules)) for default in _DEFAULTS):
        return "hand layer.momentum to the framework, which has taken a default of its own"
    return "hand layer.momentum to the framework, and declare in dialect_for how it weighs the first updates"


def hands_on_epsilon(subject: Subject) -> None:
    """See that a larger epsilon makes a smaller output."""
    x = subject.shaped(np.repeat([[4.0], [-4.0]], 3, axis=1).astype("float32"))

    def size(epsilon: float) -> float:
        layer = subject.built(
            subject.case("evaluate", shape="2x3", epsilon=epsilon), gamma=(1, 1, 1), beta=(0, 0, 0),
            running_mean=(0, 0, 0), running_var=(1, 1, 1),
        )  # fmt: skip
        return float(np.abs(layer.forward(x.copy(), "evaluate").y).max())

    small, large = size(0.001), size(3.0)
    if not large < 0.9 * small:
        raise UnfitError(
            f"the largest output is {small:.4g} with epsilon 0.001, and {large:.4g} with epsilon 3",
            "a smaller one with the larger epsilon: 4 and 2", "hand layer.epsilon to the framework",
        )  # fmt: skip


def obeys_the_mode(subject: Subject) -> None:
    """See that training takes no notice of a shift of its batch, and evaluating does, and leaves the state."""
    x = subject.integers()
    for mode in subject.modes():
        case = subject.case(mode)
        if mode == "train" and subject.adapter.dialect_for(case.layer).train_statistics != "batch":
            continue
        layer, shifted = subject.built(case), subject.built(case)
        before = {name: np.array(value) for name, value in layer.get_state().items()} if mode == "evaluate" else {}
        moved = float(np.abs(shifted.forward(x + _FAR, mode).y - layer.forward(x.copy(), mode).y).max())
        if (moved > 1) == (mode == "train"):
            uses = "running statistics" if mode == "train" else "statistics of its batch"
            raise UnfitError(
                f"{mode} normalises with the {uses}: its output moved by {moved:.4g} when {_FAR} was added to x",
                "no move" if mode == "train" else "a move by the same over the deviation",
                "hand the mode to the framework at every call",
            )  # fmt: skip
        for name, value in before.items():
            if not np.array_equal(value, layer.get_state()[name]):
                raise UnfitError(
                    f"evaluating changed {name} from {value} to {layer.get_state()[name]}", "a state that stays",
                    "hand the mode to the framework at every call; if that was done, it is the implementation's fault",
                )  # fmt: skip


def places_parameters(subject: Subject) -> None:
    """See that gamma and beta reach their channels: where gamma is 0 the output is beta."""
    for shape in (f"4x3{subject.tail}", "2x3x4x5"):
        for mode in subject.modes(shape=shape):
            layer = subject.built(small_case(mode, shape=shape), gamma=(0, 1, 0), beta=(1, 2, 3))
            y = layer.forward(integers(shape), mode).y
            found = [float(np.mean(y[:, 0])), float(np.mean(y[:, 2]))]
            if not np.allclose(found, [1, 3], atol=1e-3) or np.ptp(y[:, 1]) < 0.1:
                raise UnfitError(
                    f"y of {mode} on {y.shape} is {found[0]:.4g} and {found[1]:.4g} in the channels 0 and 2",
                    "1 and 3: there gamma is 0, and beta 1 and 3",
                    "give gamma and beta to the framework as they are, each to its own",
                )  # fmt: skip


def finds_the_channels(subject: Subject) -> None:
    """See that a change in one channel of the input, or of dy, changes nothing in another."""
    shape = "2x3x3x3"  # alike, so that a wrong axis raises no error
    for axis in ("native", "second", "last"):
        for mode in BOTH:
            for wrt in ((), ("x",)):
                case = small_case(mode, shape=shape, channel_axis=axis, gradients=wrt)
                if subject.lacks(case) is None:
                    _one_channel_alone(subject, case, mode, differentiated=bool(wrt))


def _one_channel_alone(subject: Subject, case: Case, mode: str, *, differentiated: bool) -> None:
    x = integers(case.shape)
    other = x.copy()
    other[:, 0] = other[:, 0] ** 2 + 1

    def answer(given: Array, dy: Array) -> Array:
        called = subject.built(case).forward(given.copy(), mode)
        return np.array(called.backward(dy.copy(), ("x",))["x"] if differentiated else called.y)

    # In x for the output; in dy for the gradient.
    one, two = (answer(x, x), answer(x, other)) if differentiated else (answer(x, x), answer(other, x))
    alike = [np.allclose(one[:, channel], two[:, channel], rtol=1e-3, atol=1e-3) for channel in range(3)]
    changed = [channel for channel, is_alike in enumerate(alike) if not is_alike]
    what, given = ("the gradient of x", "dy") if differentiated else ("y", "x")
    if changed != [0]:
        raise UnfitError(
            f"a change of {given} in channel 0 changed {what} of {mode} in the channels {changed}, "
            f"channel_axis {case.channel_axis!r}",
            "in channel 0 alone", "channels are the second axis of every array: move them to where the framework wants "
            "them, and back",
        )  # fmt: skip


def _trained(subject: Subject) -> Case:
    """Return a case that trains, with a gradient where the adapter has any."""
    case = subject.case("train", shape="2x3", gradients=("x",), momentum=_MOMENTUM)
    return case if subject.lacks(case) is None else subject.case("train", shape="2x3", momentum=_MOMENTUM)


def _near(weight: float, expected: object) -> bool:
    return bool(np.isclose(weight, float(expected), rtol=1e-3))  # type: ignore[arg-type]
