"""What is predicted, written down: values in canonical layout, with bounds, in the dtype they are to have."""

from __future__ import annotations

import numpy as np

from conformance.corpus.case import Layer
from conformance.definition.batch_norm import Array, canonical
from conformance.definition.convergence import mean_square_distance
from conformance.definition.precision import Precision, unit_of
from conformance.definition.prediction import Expected, Key, Predicted, Refused, Same, Undetermined
from conformance.definition.storing import overflowed, storing_error

__all__ = ["Writer"]


class Writer:
    """Collects the prediction of a case, quantity by quantity.

    Bounds have a leading axis of two, tight and plain; the error of storing the value is added here.
    Under ``unclipped`` rules a bound that is not finite says that there may be no number at all.
    """

    def __init__(self, layer: Layer, precision: Precision, *, unclipped: bool = False) -> None:
        self.layer, self.precision, self.unclipped = layer, precision, unclipped
        #: The undeclared choice on which everything from now on depends.
        self.undetermined: str | None = None
        #: Whether an input was not finite: from then on any number that is not finite is as good as another.
        self.poisoned = False
        self.prediction: dict[Key, Predicted] = {}

    def rows(self, number: int, name: str, value: Array, bound: Array, shape: tuple[int, ...]) -> None:
        """Expect channel rows ``(C, n)`` as an array of ``shape``, in the dtype of the input."""
        if bound.shape[1:] != value.shape:
            bound = np.broadcast_to(bound, (2, *value.shape))
        bounds = bound.reshape(2, shape[1], shape[0], *shape[2:]).swapaxes(1, 2)
        # In the order in which answers come: they are compared more often than predicted.
        value, bounds = np.ascontiguousarray(canonical(value, shape)), np.ascontiguousarray(bounds)
        self._stored(number, name, value, bounds, self.layer.dtype)

    def columns(self, number: int, name: str, value: Array, bound: Array) -> None:
        """Expect ``(C, 1)``, one value per channel, in the dtype of the parameters."""
        self._stored(number, name, value[:, 0], bound[:, :, 0], self.layer.param_dtype)

    def state(self, number: int, name: str, value: Array, bound: Array, dtype: str) -> None:
        """Expect ``(C, 1)`` running statistics, whose bounds know already what they are stored in."""
        self._set(number, name, value[:, 0], bound[:, :, 0], dtype)

    def distance(self, number: int, name: str, one: Array, other: Array, error: Array) -> None:
        """Expect the mean square distances of outputs ``(K, C, n)`` from another one, given the bound of both errors.

        They are taken in float64, of outputs as they are stored.
        """
        for output in (one, other):
            error = error + storing_error(output, self.layer.dtype, self.precision)
        self._set(number, name, *mean_square_distance(one, other, error), "float64")

    def refused(self, number: int) -> None:
        """Expect the step to raise an error."""
        self.prediction[number, "outcome"] = Refused()

    def unknown(self, number: int, name: str, choice: str) -> None:
        """Expect nothing of a quantity that depends on an undeclared choice."""
        self.prediction[number, name] = Undetermined(choice)

    def same(self, number: int, earlier: int) -> None:
        """Expect the output of an earlier step, bit for bit."""
        self.prediction[number, "same"] = Same((earlier, "y"))

    def _stored(self, number: int, name: str, value: Array, bound: Array, dtype: str) -> None:
        if self.unclipped:
            bound = np.where(np.isnan(bound), np.inf, bound)  # of nothing times an infinite error
        if unit_of(dtype) > self.precision.unit:
            bound = np.where(bound > 0, bound + storing_error(value, dtype, self.precision), 0)
        self._set(number, name, value, np.fmax(bound, 0), dtype)

    def _set(self, number: int, name: str, value: Array, bound: Array, dtype: str) -> None:
        if self.undetermined is not None:
            self.unknown(number, name, self.undetermined)
            return
        value = overflowed(value, dtype)
        # What is not finite is expected as it is, or, where an input was not, as any that is not finite: orders of
        # summation make NaN or an infinity of it. A finite value beside it keeps its own bound.
        bound, finite = bound.astype(np.float64, copy=False), np.isfinite(value)
        if np.count_nonzero(finite) < finite.size:
            bound = np.where(finite, bound, np.nan if self.poisoned else 0)
        undefined = np.isinf(bound[1]) if self.unclipped else None
        self.prediction[number, name] = Expected(value, bound[0], bound[1], dtype, undefined)
