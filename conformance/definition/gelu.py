"""The Gaussian error linear unit, exact, with its derivative; on arrays, noisy arrays and Taylor numbers.

``gelu(z) = z Phi(z) = z / 2 (1 + erf(z / sqrt 2))`` (Hendrycks & Gimpel 2016, arXiv:1606.08415).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from conformance.definition.noise import Noisy
from conformance.definition.taylor import Taylor

__all__ = ["erf", "gelu", "gelu_slope"]

#: Beyond, the error function is 1 to the last bit of a long double.
_FAR = 6.6


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
    """Return ``2 / sqrt(pi) exp(-z^2) sum 2^k z^(2k+1) / (2k+1)!!``: all terms have one sign, so that none cancels.

    Abramowitz & Stegun 1964, 7.1.6. Computed in long double, for ``exp(-z^2)`` errs by ``z^2`` roundings.
    """
    wide = z.astype(np.longdouble)
    near = np.clip(wide, -_FAR, _FAR)
    square, term, total = 2 * near * near, near.copy(), near.copy()
    unit, k = np.finfo(wide.dtype).eps, 0
    while np.any(np.abs(term) > unit * np.abs(total)):
        k += 1
        term = term * square / (2 * k + 1)
        total = total + term
    value = 2 / np.sqrt(_pi(wide.dtype.type)) * np.exp(-near * near) * total
    return np.where(np.abs(wide) < _FAR, value, np.sign(wide)).astype(z.dtype)


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
