"""What the input is like: far from zero, of 16 bits, of any layout, too few values, not finite."""

from __future__ import annotations

from conformance.definition.clauses.clause import PAPER, Clause

__all__ = ["CLAUSES"]

CLAUSES = (
    Clause(
        "12.1",
        "Errors stay inside what rounding explains, however large the mean against the standard deviation.",
        "error <= bound of docs/bounds.md, at means of 1e2, 1e4 and 1e6 standard deviations",
        "Higham 2002, Accuracy and Stability of Numerical Algorithms, sections 1.9 and 4.2",
    ),
    Clause(
        "12.2",
        "A constant or nearly constant channel is normalised with epsilon, not with rounding errors.",
        "x = c: y = beta up to the error of the mean",
        "reported where it failed: BVLC/caffe#3963, pytorch/pytorch#5410",
    ),
    Clause(
        "12.3",
        "A channel's error does not depend on how wide the other channels are.",
        "bound per channel",
        "clause 1.1",
    ),
    Clause(
        "13.1",
        "Outputs and gradients have the dtype of what they belong to: y and dx that of x, the others the parameters'.",
        "dtype(y) = dtype(dx) = dtype(x)",
        "documentation of torch.nn.BatchNorm1d and flax.linen.BatchNorm (dtype, param_dtype)",
    ),
    Clause(
        "13.2",
        "16-bit input is accumulated in at least float32: neither sum nor square overflows or loses the small terms.",
        "error <= bound of float32 plus the rounding of storing",
        "reported where it failed: pytorch/pytorch#126525, keras-team/keras-core#412",
    ),
    Clause(
        "13.3",
        "Choice: the state of a layer with 16-bit parameters is stored in their dtype, or in float32.",
        "dtype(running) = dtype(gamma) | float32",
        "the paper is silent; documentation of torch.nn.Module.half; flax.linen.BatchNorm keeps float32",
    ),
    Clause(
        "14.1",
        "The statistics are taken over the batch and all spatial positions, in every rank from 2 to 5.",
        "n = N * prod(spatial)",
        f"{PAPER}, section 3.2",
    ),
    Clause(
        "14.2",
        "The channels may be the second or the last axis; the answer is the same.",
        "y_last = moveaxis(y_second, 1, -1)",
        "documentation of keras.layers.BatchNormalization and flax.linen.BatchNorm (axis)",
    ),
    Clause(
        "14.3",
        "The answer does not depend on how the input lies in memory.",
        "y(view of x) = y(copy of x)",
        "reported where it failed: pytorch/pytorch#133520",
    ),
    Clause(
        "15.1",
        "Training with one value per channel: the definition is silent (var is 0, and n / (n - 1) infinite).",
        "n = 1",
        "open; reported: pytorch/pytorch#1381, tensorflow/tensorflow#34062",
    ),
    Clause(
        "15.2",
        "An empty batch or extent: the definition is silent (the average of nothing).",
        "n = 0",
        "open",
    ),
    Clause(
        "15.3",
        "Epsilon 0, momentum outside 0 to 1, a negative running variance: the definition is silent.",
        "epsilon = 0; momentum < 0 or > 1; running_var < 0",
        "open",
    ),
    Clause(
        "16.1",
        "A NaN or an infinity stays in its channel.",
        "the other channels are as without it",
        "clause 1.1 (each channel is normalised on its own)",
    ),
    Clause(
        "16.2",
        "Whether a state that has become NaN recovers: the definition is silent.",
        "running = (1 - momentum) * NaN + momentum * batch",
        "open; reported: ultralytics/ultralytics#14829",
    ),
)
