"""Higher derivatives of batch normalisation: the formulas of the first order, on Taylor numbers.

With ``L(x, gamma, dy) = sum(y * dy)``. Everything is in channel rows, as in ``batch_norm``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from conformance.definition.batch_norm import (
    Array,
    Forward,
    Parameters,
    State,
    average,
    effective_gamma,
    forward,
    inverse_scale,
    statistics,
)
from conformance.definition.consulted import changed
from conformance.definition.detached import gradient_of_gradient, second_in_nested_forward_mode, third_through_second
from conformance.definition.gradients import gradients
from conformance.definition.noise import Source
from conformance.definition.precision import Precision
from conformance.definition.rules import Rules
from conformance.definition.running_state import Batch, moves, shared, update
from conformance.definition.taylor import Taylor, held

__all__ = ["Point", "Question", "derivatives", "error_bounds"]

#: How often the formulas are evaluated with random rounding, to see how far it takes them.
_DRAWS = 16


@dataclass(frozen=True)
class Question:
    """Which derivatives are asked for, along which directions.

    ``second`` names the variables (``x``, ``gamma``, ``dy``) that the Hessian of ``L`` is taken in;
    ``third`` asks for the third derivative in ``x``, ``forward`` names orders of forward mode.
    ``x`` and ``dy`` are directions of shape ``(C, n)``, ``gamma`` of ``(C, 1)``.
    """

    second: tuple[str, ...] = ()
    third: bool = False
    forward: tuple[int, ...] = ()
    x: Array | None = None
    gamma: Array | None = None
    dy: Array | None = None


@dataclass(frozen=True)
class Point:
    """Where the derivatives are taken: a call of the layer on ``x``, and its upstream gradient ``dy``.

    ``shape`` is that of the input in canonical layout; ``x`` and ``dy`` are ``(C, n)``. ``may_move`` tells whether a
    call in train would move the state, which matters where it normalises with that.
    """

    mode: str
    shape: tuple[int, ...]
    x: Array
    dy: Array
    parameters: Parameters
    state: State
    momentum: float | None
    may_move: bool = True


def derivatives(point: Point, question: Question, rules: Rules, *, folded: bool = False) -> dict[str, Array]:
    """Return the derivatives by the name of their quantity.

    ``hvp_x``, ``hvp_gamma``, ``hvp_dy``: the Hessian of ``L`` in the variables of ``second`` times
    the direction in all of them: ``d/dt`` of ``dL/dx``, ``dL/dgamma`` and ``dL/d(dy) = y`` at
    ``t = 0`` on the line through the point. ``third_x``: ``d^2/dt^2`` of ``dL/dx`` at ``x + t v``.
    ``jvp_y``, ``jvp2_y``: first and second derivative of ``y`` at ``x + t v``. ``(C, n)`` each, but
    ``hvp_gamma``, which is ``(C, 1)``. ``folded`` computes ``x / s - mean / s``, with other roundings.
    """
    found: dict[str, Array] = {}
    if question.second:
        found |= _second(point, question, rules, folded=folded)
    if question.third and question.x is not None:
        found["third_x"] = _third(point, question.x, rules, folded=folded)
    for order in question.forward:
        found["jvp_y" if order == 1 else f"jvp{order}_y"] = _forward_mode(point, question, order, rules, folded=folded)
    return found


def _second(point: Point, question: Question, rules: Rules, *, folded: bool) -> dict[str, Array]:
    def line(name: str, start: Array) -> Any:
        return Taylor.line(start, getattr(question, name) if name in question.second else None, 1)

    parameters = replace(point.parameters, gamma=line("gamma", point.parameters.gamma))
    call = _call(point, line("x", point.x), parameters, rules, folded=folded)
    done = gradients(_constants(call, rules), line("dy", point.dy), rules) | {"dy": call.y}
    return {f"hvp_{name}": _derivative(done[name], 1, rules) for name in question.second}


def _third(point: Point, v: Array, rules: Rules, *, folded: bool) -> Array:
    if rules.third_order == "statistics constant" and point.mode == "train":
        call = _call(point, point.x, point.parameters, rules, folded=folded)
        return third_through_second(call, point.dy, v)
    if rules.third_order == "mean constant in the variance" and point.mode == "train":
        held_rules = changed(rules, variance_centre="held constant")
        moving = _call(point, Taylor.line(point.x, v, 1), point.parameters, held_rules, folded=folded)
        return _derivative(gradient_of_gradient(moving, point.dy, v), 1, rules)
    called = _call(point, Taylor.line(point.x, v, 2), point.parameters, rules, folded=folded)
    dy: Any = Taylor.line(point.dy, None, 2)
    dx = gradients(_constants(called, rules), dy, rules)["x"]
    return _derivative(dx, 2, rules)


def _forward_mode(point: Point, question: Question, order: int, rules: Rules, *, folded: bool) -> Array:
    if rules.forward_mode == "statistics constant in the second" and order > 1 and point.mode == "train":
        assert question.x is not None
        call = _call(point, point.x, point.parameters, rules, folded=folded)
        return second_in_nested_forward_mode(call, question.x)
    call = _call(point, Taylor.line(point.x, question.x, order), point.parameters, rules, folded=folded)
    y: Array = _series(_in_forward_mode(call, rules)).derivative(order)
    return y


def _derivative(values: Any, order: int, rules: Rules) -> Array:
    derivative: Array = _series(values).derivative(order)
    return 0 * derivative if rules.second_order == "zero" else derivative


def _call(point: Point, x: Any, parameters: Parameters, rules: Rules, *, folded: bool) -> Forward:
    """Do the forward on a Taylor number; ``updated`` is what the state would become."""
    mean, var = statistics(x, point.shape, rules)
    batch = Batch(mean, var, point.x.shape[1], point.shape[0], parameters.epsilon)
    moved = point.state
    times = moves(point.mode, rules, with_backward=False) if point.may_move else 0
    for _ in range(times):
        moved = update(moved, batch, point.momentum, rules)
    call = forward(x, point.mode, point.shape, parameters, point.state, moved, rules)
    call = shared(call, point.state, batch, point.momentum, rules, moved=times > 0)
    return _in_other_orders(call, rules) if folded else call


def _in_other_orders(call: Forward, rules: Rules) -> Forward:
    """Return the same forward with other roundings.

    The output is folded, ``x / s - mean / s``, and the variance is ``avg((x - c) (x - mean))``, ``c`` the mean
    held constant: derivatives written by hand often leave the direction uncentred, as that is in exact arithmetic.
    """
    y, straight = call.y, call.xhat
    if call.mode == "train" and (rules.train_statistics, rules.variance_centre) == ("batch", "mean"):
        deviation, constant = call.x - call.mean, call.x - held(call.mean)
        var = call.var + average((constant - deviation) * deviation, call.shape, rules)
        inverse, slope = inverse_scale(call.mode, var, call.parameters.epsilon, rules)
        call = replace(call, var=var, inverse=inverse, slope=slope)
    xhat = call.x * call.inverse - call.mean * call.inverse
    return replace(call, xhat=xhat, y=y + effective_gamma(call.parameters, rules) * (xhat - straight))


def _in_forward_mode(call: Forward, rules: Rules) -> Any:
    """Return the output as forward mode sees it."""
    if rules.forward_mode != "statistics constant":
        return call.y
    xhat = (call.x - held(call.mean)) * held(call.inverse)
    return call.parameters.gamma * xhat + call.parameters.beta


def _constants(call: Forward, rules: Rules) -> Forward:
    """Return the forward as a gradient sees it that is differentiated with its statistics held constant."""
    if rules.second_order != "statistics constant":
        return call
    mean, inverse = held(call.mean), held(call.inverse)
    return replace(call, mean=mean, inverse=inverse, slope=held(call.slope), xhat=(call.x - mean) * inverse)


def _series(values: Any) -> Any:
    """Return a Taylor number; one that does not depend on the direction may have come as an array."""
    return values if isinstance(values, Taylor) else Taylor.line(values, None, 3)


def error_bounds(
    point: Point, question: Question, rules: Rules, precision: Precision, state_errors: tuple[Array, Array]
) -> dict[str, Array]:
    """Measure how far rounding takes each derivative, tight and plain: a leading axis of two.

    The formulas are evaluated ``_DRAWS`` times with every operation erring by one rounding. The root
    mean square of what that moves, element-wise, but at least half of that of its channel, twice, is
    multiplied by the growth of sums. The plain bound admits other orders: folded scale and shift, a
    direction that is not centred, whatever the plain bound of the state admits.
    ``state_errors`` are the error bounds of the state, ``(2, C, 1)``.
    """
    exact = derivatives(point, question, rules)
    growth = precision.growth(point.x.shape[1])
    # The growth of sums is in the errors of the state already.
    states = [tuple(errors[kind] / growth[kind] for errors in state_errors) for kind in (0, 1)]
    direct, folded = (
        derivatives(*_perturbed(point, question, Source(precision.unit), state, rules), rules, folded=way)
        for way, state in zip((False, True), states, strict=True)
    )
    bounds: dict[str, Array] = {}
    for name, value in exact.items():
        tight = _moved(direct[name], value)
        sizes = np.stack([tight, np.maximum(tight, _moved(folded[name], value))])
        bounds[name] = 2 * growth * sizes + precision.floor
    return bounds


def _moved(noisy: Array, exact: Array) -> Array:
    """Return the root mean square by which the draws err, not far below that of the channel."""
    moved = np.asarray(noisy).reshape(_DRAWS, *exact.shape) - exact
    size = np.sqrt((moved * moved).mean(axis=0))
    least = np.sqrt((size * size).mean(axis=1, keepdims=True)) / 2
    by: Array = np.maximum(size, least)
    return by


def _perturbed(
    point: Point, question: Question, source: Source, state_errors: tuple[Array, ...], rules: Rules
) -> tuple[Point, Question]:
    """Return all draws at once, as further channels, which no formula mixes; those errors are ``(C, 1)``.

    A running variance that errs by more than its size is drawn as nothing, not below: so it is with first-order bounds.
    """

    def drawn(values: Array | None) -> Any:
        return None if values is None else source.noisy(np.concatenate([values] * _DRAWS))

    def state(values: Array, errors: Array) -> Any:
        shift = source.noisy(np.concatenate([errors.astype(values.dtype)] * _DRAWS))
        signs = np.sign(source.factors(shift) - 1)
        return drawn(values) + shift * signs

    shape = (point.shape[0], point.shape[1] * _DRAWS, *point.shape[2:])
    gamma, beta = drawn(point.parameters.gamma), drawn(point.parameters.beta)
    var = state(point.state.var, state_errors[1])
    if rules.variance_algorithm != "one-pass unclipped":
        var = np.maximum(var, 0)
    moved = State(state(point.state.mean, state_errors[0]), var, point.state.updates)
    placed = replace(
        point, shape=shape, x=drawn(point.x), dy=drawn(point.dy), state=moved,
        parameters=Parameters(gamma, beta, point.parameters.epsilon),
    )  # fmt: skip
    return placed, replace(question, x=drawn(question.x), gamma=drawn(question.gamma), dy=drawn(question.dy))
