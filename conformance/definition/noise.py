"""Arrays whose every operation errs by one rounding, at random: how far rounding may take a result.

Monte Carlo arithmetic (Parker 1997, UCLA CSD-970002): a formula is evaluated several times, each
result of each operation multiplied by ``1 + u`` or ``1 - u``. Perturbing the inputs alone would not
do: where a result cancels for every input (the normalised values of two samples are -1 and 1
whatever the samples), only the roundings in between move it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["Noisy", "Source"]

# Their results are exact, or no floating-point numbers.
_EXACT = frozenset({
    np.negative, np.positive, np.absolute, np.maximum, np.minimum, np.sign, np.greater, np.greater_equal, np.less,
    np.less_equal, np.equal, np.not_equal,
})  # fmt: skip


class Source:
    """Random signs, the same in every run: raw bits of a counter-based generator."""

    def __init__(self, unit: float, seed: int = 0) -> None:
        self.unit = unit
        self._bits = np.random.Philox(key=seed)

    def noisy(self, values: Any) -> Noisy:
        """Return the values as an array that errs, themselves perturbed once."""
        array = np.asarray(values)
        made: Noisy = (array * self.factors(array)).view(Noisy)
        made.source = self
        return made

    def factors(self, like: Any) -> Any:
        """Return ``1 + u`` or ``1 - u`` for every element."""
        words = self._bits.random_raw(-(-like.size // 64))
        bits = np.unpackbits(np.asarray(words, dtype=np.uint64).view(np.uint8))[: like.size].reshape(like.shape)
        unit = like.dtype.type(self.unit)
        return np.where(bits, 1 + unit, 1 - unit)


class Noisy(np.ndarray[Any, Any]):
    """An array of perturbed values, whose operations perturb what they give."""

    source: Source

    def __array_finalize__(self, origin: Any) -> None:
        """Take over the source of whatever the array was made from."""
        if isinstance(origin, Noisy):
            self.source = origin.source

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        """Do as an array does, then perturb."""
        if any(hasattr(type(one), "__array_ufunc__") and not isinstance(one, np.ndarray | np.generic)
               for one in inputs):  # fmt: skip
            return NotImplemented
        plain = [one.view(np.ndarray) if isinstance(one, Noisy) else one for one in inputs]
        done = getattr(ufunc, method)(*plain, **kwargs)
        if ufunc in _EXACT:
            return done if done.dtype == bool else self._taken(np.asarray(done))
        result = np.asarray(done)
        return self._taken(result * self.source.factors(result))

    def after(self, function: Callable[[Any], Any]) -> Noisy:
        """Apply a function of arrays as a single operation: what it gives is perturbed once."""
        result = np.asarray(function(self.view(np.ndarray)))
        return self._taken(result * self.source.factors(result))

    def mean(self, axis: Any = None, *, keepdims: bool = False) -> Any:  # type: ignore[override]
        """Average by way of the sum, so that it errs too."""
        total = self.sum(axis=axis, keepdims=keepdims)
        return total / total.dtype.type(self.size // max(np.asarray(total).size, 1))

    def _taken(self, values: Any) -> Noisy:
        taken: Noisy = np.asarray(values).view(Noisy)
        taken.source = self.source
        return taken
