"""The recipe of a conversion: arguments, parameters, state, layout, and what cannot be kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass

from conformance.adapters.naming import Naming
from conformance.convert.effects import Effects
from conformance.definition.dialect import UNDECLARED, Dialect
from conformance.definition.variants import VARIANTS, option_name
from conformance.errors import UsageError

__all__ = ["Recipe", "recipe"]

#: Where neither the user nor the implementation says: what most take.
_MOMENTUM, _EPSILON = 0.1, 1e-5


@dataclass(frozen=True)
class Recipe:
    """A conversion. ``momentum`` is the weight of the new batch, ``lost`` what the target does otherwise."""

    source: str
    target: str
    momentum: float
    epsilon: float
    channels: int | None
    n: int
    lines: tuple[str, ...]
    lost: tuple[str, ...]


def recipe(
    source: tuple[str, Naming], target: tuple[str, Naming], *, momentum: float | None = None,
    epsilon: float | None = None, channels: int | None = None, n: int = 32, dialects: tuple[Dialect, Dialect] | None,
) -> Recipe:  # fmt: skip
    """Return the recipe from one implementation to another.

    ``momentum`` is given as the source takes it, by default its own default; ``n`` is the number of values per
    channel for which effects are told. Without ``dialects`` nothing is said of what is lost.

    Raises:
        UsageError: the momentum is not from 0 to 1, epsilon not positive, or n less than 2.
    """
    (source_name, one), (target_name, other) = source, target
    given = momentum if momentum is not None else one.momentum_default
    weight = _MOMENTUM if given is None else given if one.momentum_weighs == "new" else 1 - given
    used = epsilon if epsilon is not None else one.epsilon_default or _EPSILON
    if not 0 <= weight <= 1:
        raise UsageError(f"--momentum is {given}, expected 0 to 1")
    if used <= 0:
        raise UsageError(f"--epsilon is {used:g}, expected more than 0")
    if n < 2:
        raise UsageError(f"--values is {n}, expected at least 2", hint="it is the number of values per channel")
    lost = tuple(_lost(*dialects, Effects(weight, used, channels, n))) if dialects is not None else ()
    lines = (*_lines(one, other, weight, used, channels), *_states(one, other))
    return Recipe(source_name, target_name, weight, used, channels, n, lines, lost)


def _lines(one: Naming, other: Naming, weight: float, epsilon: float, channels: int | None) -> Iterator[str]:
    told = other.layout == "either" and one.found != other.found
    yield _line("from", one.constructed(weight, epsilon, channels))
    yield _line("to", other.constructed(weight, epsilon, channels, one.found if told else ""))
    yield _line("momentum", _momentum(one, other, weight))
    default = other.epsilon_default
    if default is not None and default != epsilon:
        yield _line("epsilon", f"give it: at the target's default, {default:g}, the same tensors give other outputs")
    for name in ("gamma", "beta", "running_mean", "running_var"):
        kept = f", shape {one.shape}, as it is" if one.shape == other.shape else ""
        yield _line(name, f"{getattr(one, name)} -> {getattr(other, name)}{kept}")
    if one.shape != other.shape:
        yield _line("shapes", f"of these four: {one.shape} becomes {other.shape}")
    yield _line("layout", _layout(one, other))


def _line(name: str, said: str) -> str:
    return f"{name:<13} {said}"


def _momentum(one: Naming, other: Naming, weight: float) -> str:
    """Return how the number of one side becomes that of the other."""
    numbers = [weight if naming.momentum_weighs == "new" else 1 - weight for naming in (one, other)]
    said = f"{one.momentum}={numbers[0]:.10g} -> {other.momentum}={numbers[1]:.10g}"
    if one.momentum_weighs == other.momentum_weighs:
        return f"{said}: both weigh {_WEIGHED[one.momentum_weighs]}"
    told = f"the former weighs {_WEIGHED[one.momentum_weighs]}, the latter {_WEIGHED[other.momentum_weighs]}"
    return f"{said}, which is 1 minus it: {told}"


_WEIGHED = {"new": "the new batch", "old": "the old state"}


def _layout(one: Naming, other: Naming) -> str:
    """Return what is to be done that the target finds the channels."""
    if other.layout == "either":
        where, default = (_AXES[side.found] for side in (one, other))
        if one.found == other.found:
            return f"both find the channels on axis {where} if nothing is said: nothing to move"
        how = other.axis(one.found) or f"parameters and statistics shaped to broadcast along axis {where}"
        return f"{other.constructor} finds the channels on axis {default} unless told: {how}, and nothing moves"
    if one.found == other.layout:
        return f"both have the channels on axis {_AXES[other.layout]}: nothing to move"
    given = " by default" if one.layout == "either" else ""
    return (
        f"{one.constructor} has the channels on axis {_AXES[one.found]}{given}, {other.constructor} on axis "
        f"{_AXES[other.layout]}: move that axis of every input and output"
    )


_AXES = {"second": "1", "last": "-1"}


def _states(one: Naming, other: Naming) -> Iterator[str]:
    for naming in dict.fromkeys((one, other)):
        if naming.note:
            yield _line("beside", f"{naming.constructor}: {naming.note}")
        if naming.update:
            yield _line("beside", f"{naming.constructor}: your own code moves the state: {naming.update}")


def _lost(one: Dialect, other: Dialect, effects: Effects) -> Iterator[str]:
    """Say of each choice in which the two differ what the target does, and how large the effect is."""
    own, theirs = asdict(one), asdict(other)
    for choice, option in theirs.items():
        if option == own[choice] or choice == "momentum" or UNDECLARED in (option, own[choice]):
            continue
        variant = VARIANTS.get(option_name(choice, option))
        sentence = f" {variant.sentence}" if variant is not None else ""
        effect = effects.of(one, choice, option)
        yield f"{choice.replace('_', ' ')}: {own[choice]} becomes {option}.{sentence} {effect}"
