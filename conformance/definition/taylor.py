"""Truncated Taylor numbers over NumPy arrays: formulas evaluated on them give their own derivatives.

A Taylor number holds the coefficients of ``f(t) = f_0 + f_1 t + ... + f_K t^K``, one array each. It
goes through NumPy's own functions, so that a formula written for arrays runs on it unchanged
(Griewank & Walther 2008, Evaluating Derivatives, chapter 13, for the recurrences).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, cast

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin
from numpy.typing import NDArray

__all__ = ["Taylor", "held"]

Array: TypeAlias = NDArray[np.floating[Any]]


class Taylor(NDArrayOperatorsMixin):
    """A truncated power series in one parameter, with coefficients of one shape and dtype.

    Functions that are not smooth everywhere (``absolute``, ``maximum``, ``where``) are
    differentiated on the side on which ``f_0`` lies; comparisons compare ``f_0``.
    """

    def __init__(self, coefficients: Sequence[Array]) -> None:
        shape = np.broadcast_shapes(*(one.shape for one in coefficients))
        self.coefficients: tuple[Array, ...] = tuple(
            one if one.shape == shape else np.broadcast_to(one, shape, subok=True) for one in coefficients
        )

    @classmethod
    def line(cls, start: Array, direction: Array | None, order: int) -> Taylor:
        """Return ``start + t * direction`` up to ``t^order``; without a direction, the constant ``start``."""
        zero = 0 * start
        return cls([start, zero if direction is None else direction, *[zero] * (order - 1)])

    def derivative(self, order: int) -> Array:
        """Return the derivative of that order at ``t = 0``."""
        return cast("Array", self.coefficients[order] * self.dtype.type(math.factorial(order)))

    @property
    def value(self) -> Array:
        """The value at ``t = 0``."""
        return self.coefficients[0]

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of every coefficient."""
        return self.value.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the coefficients."""
        return self.value.dtype

    def __len__(self) -> int:
        return len(self.value)

    def __repr__(self) -> str:
        return f"Taylor({', '.join(map(repr, self.coefficients))})"

    def sum(self, axis: int | None = None, *, keepdims: bool = False) -> Taylor:
        """Sum over an axis, or all of them."""
        return self._each(lambda one: np.asanyarray(one.sum(axis=axis, keepdims=keepdims)))

    def mean(self, axis: int | None = None, *, keepdims: bool = False) -> Taylor:
        """Average over an axis, or all of them."""
        return self._each(lambda one: np.asanyarray(one.mean(axis=axis, keepdims=keepdims)))

    def reshape(self, *shape: Any) -> Taylor:
        """Reshape every coefficient."""
        return self._each(lambda one: one.reshape(*shape))

    def _each(self, act: Callable[[Array], Array]) -> Taylor:
        return Taylor([act(one) for one in self.coefficients])

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        """Apply a NumPy function; one that is not in the table has no meaning here."""
        if method != "__call__" or kwargs:
            return NotImplemented
        if ufunc in _COMPARISONS:
            return ufunc(*(one.value if isinstance(one, Taylor) else one for one in inputs))
        return _UFUNCS[ufunc](*inputs) if ufunc in _UFUNCS else NotImplemented

    def __array_function__(self, function: Any, types: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Do the few of NumPy's array functions that formulas need."""
        return _FUNCTIONS[function](*args, **kwargs) if function in _FUNCTIONS else NotImplemented


def held(values: Any) -> Array:
    """Return the values as constants: what a Taylor number is at ``t = 0``, an array as it is."""
    constant: Array = values.value if isinstance(values, Taylor) else values
    return constant


def _lifted(one: Any, other: Any) -> tuple[Taylor, Taylor]:
    """Return two operands as Taylor numbers of one order, an array being a constant."""
    known = one if isinstance(one, Taylor) else other
    order = len(known.coefficients) - 1

    def lift(operand: Any) -> Taylor:
        if isinstance(operand, Taylor):
            return operand
        return Taylor.line(np.asanyarray(operand, None if isinstance(operand, np.ndarray | np.generic)
                                         else known.dtype), None, order)  # fmt: skip

    return lift(one), lift(other)


def _add(one: Any, other: Any) -> Taylor:
    f, g = _lifted(one, other)
    return Taylor([a + b for a, b in zip(f.coefficients, g.coefficients, strict=True)])


def _subtract(one: Any, other: Any) -> Taylor:
    f, g = _lifted(one, other)
    return Taylor([a - b for a, b in zip(f.coefficients, g.coefficients, strict=True)])


def _multiply(one: Any, other: Any) -> Taylor:
    if not isinstance(other, Taylor):
        return Taylor([a * other for a in one.coefficients])
    if not isinstance(one, Taylor):
        return Taylor([one * a for a in other.coefficients])
    f, g = one.coefficients, other.coefficients
    return Taylor([_total(f[j] * g[k - j] for j in range(k + 1)) for k in range(len(f))])


def _divide(one: Any, other: Any) -> Taylor:
    if not isinstance(other, Taylor):
        return Taylor([a / other for a in one.coefficients])
    f, g = _lifted(one, other)
    quotient: list[Array] = []
    for k, numerator in enumerate(f.coefficients):
        for j in range(k):
            numerator = numerator - quotient[j] * g.coefficients[k - j]  # noqa: PLW2901
        quotient.append(numerator / g.value)
    return Taylor(quotient)


def _sqrt(f: Taylor) -> Taylor:
    root = [np.sqrt(f.value)]
    for k in range(1, len(f.coefficients)):
        rest = f.coefficients[k]
        for j in range(1, k):
            rest = rest - root[j] * root[k - j]
        root.append(rest / (2 * root[0]))
    return Taylor(root)


def _power(f: Any, exponent: Any) -> Taylor:
    if not isinstance(f, Taylor) or isinstance(exponent, Taylor):
        raise TypeError("the exponent of a power is a number")
    if exponent == int(exponent) and exponent > 0:
        power = f
        for _ in range(int(exponent) - 1):
            power = _multiply(power, f)
        return power
    if exponent == 0.5:
        return _sqrt(f)
    p = f.dtype.type(exponent)
    powers = [f.value**p]
    for k in range(1, len(f.coefficients)):
        terms = (((p + 1) * j - k) * f.coefficients[j] * powers[k - j] for j in range(1, k + 1))
        powers.append(_total(terms) / (k * f.value))
    return Taylor(powers)


def _exp(f: Taylor) -> Taylor:
    powers = [np.exp(f.value)]
    for k in range(1, len(f.coefficients)):
        powers.append(_total(j * f.coefficients[j] * powers[k - j] for j in range(1, k + 1)) / k)
    return Taylor(powers)


def _matmul(one: Any, other: Any) -> Taylor:
    if isinstance(one, Taylor):
        raise TypeError("the left factor of a matrix product is a constant")
    return Taylor([one @ a for a in other.coefficients])


def _absolute(f: Taylor) -> Taylor:
    return _multiply(f, np.where(f.value < 0, f.dtype.type(-1), f.dtype.type(1)))


def _maximum(one: Any, other: Any) -> Taylor:
    f, g = _lifted(one, other)
    return _where(f.value >= g.value, f, g)


def _where(condition: Any, one: Any, other: Any) -> Taylor:
    f, g = _lifted(one, other)
    return Taylor([np.where(condition, a, b) for a, b in zip(f.coefficients, g.coefficients, strict=True)])


def _full_like(like: Any, fill: Any) -> Any:
    if not isinstance(fill, Taylor):
        return np.full(like.shape, fill, dtype=like.dtype)
    return _broadcast_to(fill, like.shape)


def _broadcast_to(f: Taylor, shape: tuple[int, ...]) -> Taylor:
    return Taylor([np.broadcast_to(one, shape, subok=True) for one in f.coefficients])


def _total(terms: Any) -> Array:
    first, *rest = terms
    for term in rest:
        first = first + term
    return cast("Array", first)


_COMPARISONS = (np.greater, np.greater_equal, np.less, np.less_equal, np.equal, np.not_equal)
_UFUNCS: dict[Any, Callable[..., Taylor]] = {
    np.add: _add, np.subtract: _subtract, np.multiply: _multiply, np.divide: _divide, np.sqrt: _sqrt,
    np.exp: _exp, np.matmul: _matmul, np.power: _power,
    np.square: lambda f: _multiply(f, f), np.absolute: _absolute, np.maximum: _maximum,
    np.negative: lambda f: Taylor([-one for one in f.coefficients]), np.positive: lambda f: f,
}  # fmt: skip
_FUNCTIONS: dict[Any, Callable[..., Any]] = {
    np.where: _where, np.full_like: _full_like, np.broadcast_to: _broadcast_to,
    np.zeros_like: lambda f: np.zeros(f.shape, f.dtype), np.ones_like: lambda f: np.ones(f.shape, f.dtype),
    np.sum: lambda f, **kwargs: f.sum(**kwargs), np.mean: lambda f, **kwargs: f.mean(**kwargs),
}  # fmt: skip
