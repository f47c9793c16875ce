"""The Gaussian error linear unit, exact, with its derivative; on arrays, noisy arrays and Taylor numbers.

``gelu(z) = z Phi(z) = z / 2 (1 + erf(z / sqrt 2))`` (Hendrycks & Gimpel 2016, arXiv:1606.08415).
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from conformance.definition.noise import Noisy
from conformance.definition.taylor import Taylor

__all__ = ["erf", "gelu", "gelu_slope"]

#: Beyond, the error function is 1 to the last bit of a long double.
_FAR = 6.6
#: The series about a node is taken to this order; at half the distance of two nodes the next term is below 2^-64.
_NODES_PER_UNIT, _ORDER = 64, 10


def gelu(z: Any) -> Any:
    """Return ``z / 2 (1 + erf(z / sqrt 2))``, in the precision of ``z``."""
    number = z.dtype.type
    return z * number(0.5) * (erf(z / np.sqrt(number(2))) + number(1))


def gelu_slope(z: Any) -> Any:
    """Return the derivative ``Phi(z) + z phi(z)``, ``phi`` the density of the standard normal distribution."""
    number = z.dtype.type
    density = np.exp(z * z * number(-0.5)) / np.sqrt(2 * _pi(number))
    return number(0.5) * (erf(z / np.sqrt(number(2))) + number(1)) + z * density


def erf(z: Any) -> Any:
    """Return the error function; of a Taylor number by ``erf' = 2 / sqrt(pi) exp(-z^2) z'``."""
    if isinstance(z, Taylor):
        return _series(z)
    return z.after(_erf) if isinstance(z, Noisy) else _erf(z)


def _erf(z: Any) -> Any:
    """Return the Taylor series about the nearest of a row of nodes, in float64 at least.

    ``erf^(k+1)(t) = (-1)^k H_k(t) 2 / sqrt(pi) exp(-t^2)``, ``H_k`` the Hermite polynomials (Abramowitz & Stegun
    1964, 7.1.19).
    """
    wide = z.astype(np.result_type(z.dtype, np.float64))
    size = np.fmin(np.abs(wide), _FAR)
    nearest = np.rint(size * _NODES_PER_UNIT).astype(np.intp)
    from_node = size - nearest / wide.dtype.type(_NODES_PER_UNIT)
    highest, *lower = _table(wide.dtype)
    value = highest[nearest]
    for term in lower:
        value = value * from_node + term[nearest]
    return np.copysign(np.where(np.abs(wide) < _FAR, value, np.where(np.isnan(wide), wide, 1)), wide).astype(z.dtype)


@cache
def _table(dtype: Any) -> tuple[Any, ...]:
    """Return the coefficients of the series about every node from 0 to ``_FAR``, the highest order first."""
    nodes = np.arange(int(_FAR * _NODES_PER_UNIT) + 2) / np.longdouble(_NODES_PER_UNIT)
    before, hermite = np.zeros_like(nodes), 2 / np.sqrt(_pi(np.longdouble)) * np.exp(-nodes * nodes)
    terms, factorial = [_summed(nodes)], np.longdouble(1)
    for k in range(_ORDER):
        factorial = factorial * (k + 1)
        terms.append((-1) ** k * hermite / factorial)
        before, hermite = hermite, 2 * nodes * hermite - 2 * k * before
    return tuple(term.astype(dtype) for term in reversed(terms))


def _summed(z: Any) -> Any:
    """Return ``2 / sqrt(pi) exp(-z^2) sum 2^k z^(2k+1) / (2k+1)!!``: all terms have one sign, so that none cancels.

    Abramowitz & Stegun 1964, 7.1.6.
    """
    square, term, total = 2 * z * z, z.copy(), z.copy()
    unit, k = np.finfo(z.dtype).eps, 0
    while np.any(np.abs(term) > unit * np.abs(total)):
        k += 1
        term = term * square / (2 * k + 1)
        total = total + term
    return 2 / np.sqrt(_pi(z.dtype.type)) * np.exp(-z * z) * total


def _series(z: Taylor) -> Taylor:
    slope = np.exp(-(z * z)) * (2 / np.sqrt(_pi(z.dtype.type)))
    parts = [erf(z.value)]
    for k in range(1, len(z.coefficients)):
        terms = [j * z.coefficients[j] * slope.coefficients[k - j] for j in range(1, k + 1)]
        parts.append(sum(terms[1:], start=terms[0]) / k)
    return Taylor(parts)


def _pi(number: Any) -> Any:
    """Return pi to the last bit of the type: four times the angle of (1, 1)."""
    return 4 * np.arctan(number(1))
