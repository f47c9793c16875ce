"""Higher derivatives as implementations have them that hold the statistics constant half-way.

A backward or forward mode written by hand takes the statistics that the forward saved. It knows
how they depend on the input; whoever differentiates it once more does not.
"""

from __future__ import annotations

from conformance.definition.batch_norm import Array, Forward
from conformance.definition.sums import row_mean, row_sum
from conformance.definition.taylor import held

__all__ = ["gradient_of_gradient", "second_in_nested_forward_mode", "third_through_second"]


def third_through_second(call: Forward, dy: Array, v: Array) -> Array:
    """Return the gradient of ``v . H v`` in ``x``, of clause 9.1's Hessian with constant statistics.

    ``gamma / (n s^3) (2 a v + 3 / (n s^2) (dy b^2 + 2 g b v) - n var(v) dy)`` with ``d = x - mean``,
    ``a = n avg(v) avg(dy) - dy . v``, ``b = v . d`` and ``g = dy . d``; all arrays ``(C, n)``.
    """
    d, r, n = call.x - call.mean, call.inverse, dy.dtype.type(dy.shape[1])
    a = row_sum(v) * row_mean(dy) - row_sum(dy * v)
    b, g = row_sum(v * d), row_sum(dy * d)
    spread = row_sum((v - row_mean(v)) * v)
    bracket: Array = 2 * a * v + 3 * r * r / n * (dy * b * b + 2 * g * b * v) - spread * dy
    return call.parameters.gamma * (r * r * r) / n * bracket


def gradient_of_gradient(call: Forward, dy: Array, v: Array) -> Array:
    """Return the gradient of ``v . dx`` in ``x``, clause 6.1's ``dx``, the mean inside its variance being constant.

    ``v . dx = gamma (a r - b g r^3 / n)`` with ``d = x - mean``, ``a = v . (dy - avg(dy))``, ``b = v . d``,
    ``g = dy . d`` and ``r = 1/s``, whose gradient is ``-r^3 (x - c) / n``. At ``c = mean`` it is right;
    differentiated further it is not. All arrays ``(C, n)``.
    """
    d, from_centre, r, n = call.x - call.mean, call.x - held(call.mean), call.inverse, dy.dtype.type(dy.shape[1])
    a, b, g = row_sum(v * (dy - row_mean(dy))), row_sum(v * d), row_sum(dy * d)
    through_root: Array = (3 * b * g * (r * r) / n - a) * from_centre
    return call.parameters.gamma * (r * r * r) / n * (through_root - g * (v - row_mean(v)) - b * (dy - row_mean(dy)))


def second_in_nested_forward_mode(call: Forward, v: Array) -> Array:
    """Return the derivative along ``v`` of clause 9.4's formula with constant statistics.

    ``-gamma / s^3 (v avg(w d) + d avg(w v))`` with ``d = x - mean`` and ``w = v - avg(v)``.
    """
    d, w, r = call.x - call.mean, v - row_mean(v), call.inverse
    bracket: Array = v * row_mean(w * d) + d * row_mean(w * v)
    return -call.parameters.gamma * (r * r * r) * bracket
