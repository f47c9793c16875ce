"""The clauses of the definition: number, sentence, formula and source of each."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["AREAS", "CLAUSES", "Clause"]

_PAPER = "Ioffe & Szegedy 2015, arXiv:1502.03167"


@dataclass(frozen=True)
class Clause:
    """One numbered sentence of the definition; ``number`` is ``area.position``."""

    number: str
    sentence: str
    formula: str
    source: str

    @property
    def area(self) -> str:
        """Return the heading under which the clause stands."""
        return AREAS[int(self.number.partition(".")[0])]


AREAS: dict[int, str] = {
    1: "Normalise in train",
    2: "Affine or not",
    3: "Running mean and running variance",
    4: "When the state moves",
    5: "Evaluate",
    6: "Gradients in train",
    7: "Gradients in evaluate",
    8: "Differentiability of the update",
    9: "Higher order",
    10: "Frozen",
    11: "Untracked",
    12: "Numerical quality",
    13: "Low precision",
    14: "Layout",
    15: "Degenerate batches",
    16: "NaN and infinity",
    17: "Execution modes",
    18: "Masks and synchronised statistics",
    19: "Metamorphic",
    20: "Saving and loading",
    21: "Scenarios: several steps together",
}

_ALL = (
    Clause(
        "1.1",
        "In train, each channel is normalised with the mean and the population variance of its batch.",
        "xhat = (x - mean) / sqrt(var + epsilon), var = avg((x - mean)^2)",
        f"{_PAPER}, Algorithm 1",
    ),
    Clause(
        "1.2",
        "Epsilon is added to the variance, inside the root, whatever its size from 1e-12 to 1.",
        "s = sqrt(var + epsilon)",
        f"{_PAPER}, Algorithm 1",
    ),
    Clause(
        "1.3",
        "The normalisation holds for variances far from 1 and for means away from 0.",
        "xhat is unchanged, up to epsilon, when x is replaced by a x + b with a > 0",
        f"{_PAPER}, section 3",
    ),
    Clause(
        "2.1",
        "The output is scaled by gamma and shifted by beta, one of each per channel.",
        "y = gamma * xhat + beta",
        f"{_PAPER}, Algorithm 1",
    ),
    Clause(
        "2.2",
        "A layer without gamma scales by 1, and one without beta shifts by 0.",
        "y = xhat + beta, y = gamma * xhat, y = xhat",
        "documentation of torch.nn.BatchNorm2d (affine, bias) and keras BatchNormalization (scale, center)",
    ),
    Clause(
        "2.3",
        "Gamma may be zero or negative: the output is then beta, or mirrored, and gradients follow.",
        "gamma = 0: y = beta, dx = 0, dgamma = sum(dy * xhat)",
        f"{_PAPER}, Algorithm 1 (gamma is unconstrained)",
    ),
    Clause(
        "3.1",
        "A training forward blends the batch mean into the running mean.",
        "running_mean = (1 - momentum) * running_mean + momentum * mean",
        f"{_PAPER}, section 3.1 (moving averages); documentation of torch.nn.BatchNorm1d for the convention",
    ),
    Clause(
        "3.2",
        "A training forward blends an estimate of the variance into the running variance; the estimator is a choice.",
        "running_var = (1 - momentum) * running_var + momentum * b * var, b = n / (n - 1) (sample) or 1 (population)",
        f"{_PAPER}, Algorithm 2, step 10 (sample)",
    ),
    Clause(
        "3.3",
        "Momentum 0 leaves the state as it is, momentum 1 replaces it by the statistics of the batch.",
        "momentum = 0: running = running; momentum = 1: running = batch",
        "limit of clauses 3.1 and 3.2",
    ),
    Clause(
        "3.4",
        "With cumulative momentum the k-th training forward weighs its batch 1/k: the state is the plain average.",
        "momentum_k = 1 / k",
        "documentation of torch.nn.BatchNorm1d, momentum=None",
    ),
    Clause(
        "3.5",
        "The state starts at mean 0 and variance 1; what the first update does with it is a choice.",
        "blend: as 3.1; replace: running = batch; debias: running / (1 - (1 - momentum)^k)",
        "documentation of torch.nn.BatchNorm1d, keras.layers.BatchNormalization and flax.linen.BatchNorm",
    ),
    Clause(
        "3.6",
        "A batch weighs in the state by momentum alone, however many values it has.",
        "momentum does not depend on n",
        "clauses 3.1 and 3.2; reported where it failed: deeplearning4j/deeplearning4j#6648",
    ),
    Clause(
        "4.1",
        "A training forward moves the state exactly once, whether or not a gradient is taken afterwards.",
        "state after forward = state after forward and backward",
        "documentation of torch.nn.BatchNorm1d; reported where it failed: apache/mxnet#14357",
    ),
    Clause(
        "4.2",
        "The output of a training forward depends on the batch alone, not on the state.",
        "y(x, state_1) = y(x, state_2)",
        f"{_PAPER}, Algorithm 1",
    ),
    Clause(
        "4.3",
        "Evaluating leaves the state as it is, bit for bit, gradients included.",
        "running = running",
        f"{_PAPER}, Algorithm 2",
    ),
    Clause(
        "4.4",
        "Two training forwards move the state twice, in the order of the calls.",
        "M_AB = (1 - a)^2 M_0 + a (1 - a) m_A + a m_B",
        "composition of clause 3.1",
    ),
    Clause(
        "4.5",
        "The state is updated although nothing reads it before the next step.",
        "as 3.1 and 3.2",
        "reported where it failed: tinygrad/tinygrad#17206",
    ),
    Clause(
        "4.6",
        "Whether a forward that the backward does again, as checkpointing does, moves the state again is a choice.",
        "once: one update; again: two updates with the same batch",
        "the paper is silent; reported: pytorch/pytorch#96136",
    ),
    Clause(
        "4.7",
        "A call that fails leaves the state as it was.",
        "running = running",
        "documentation of torch.nn.BatchNorm1d (an input of the wrong size is refused)",
    ),
    Clause(
        "5.1",
        "In evaluate, each channel is normalised with the running statistics.",
        "y = gamma * (x - running_mean) / sqrt(running_var + epsilon) + beta",
        f"{_PAPER}, Algorithm 2, step 11",
    ),
    Clause(
        "5.2",
        "Before any training, evaluate uses the initial state.",
        "y = gamma * x / sqrt(1 + epsilon) + beta",
        "clauses 3.5 and 5.1",
    ),
    Clause(
        "5.3",
        "After training, evaluate uses the state that the training forwards left.",
        "clause 5.1 on the state of clauses 3.1 and 3.2",
        f"{_PAPER}, Algorithm 2",
    ),
    Clause(
        "5.4",
        "In evaluate, a row's output does not depend on the other rows; any number of rows will do, one included.",
        "y(x)[i] = y(x[i:i+1])[0]",
        f"{_PAPER}, section 3.1",
    ),
    Clause(
        "6.1",
        "In train, the gradient with respect to the input passes through the statistics of the batch.",
        "dx = gamma / s * (dy - avg(dy) - xhat * avg(dy * xhat))",
        f"{_PAPER}, section 3 (chain rule)",
    ),
    Clause(
        "6.2",
        "In train, the gradients of gamma and beta are sums over the batch.",
        "dgamma = sum(dy * xhat), dbeta = sum(dy)",
        f"{_PAPER}, section 3 (chain rule)",
    ),
    Clause(
        "6.3",
        "A gradient asked for again, or after other calls of the layer, is the same.",
        "backward depends on its own forward only",
        "definition of the derivative; reported where it failed: apache/mxnet#21111",
    ),
    Clause(
        "6.4",
        "A gradient asked for alone equals the one asked for with others.",
        "dx of {x} = dx of {x, gamma, beta}",
        "definition of the derivative; reported where it failed: PaddlePaddle/Paddle#67559",
    ),
    Clause(
        "7.1",
        "In evaluate, the statistics are constants: the gradient of the input is the upstream one, scaled.",
        "dx = gamma / sqrt(running_var + epsilon) * dy",
        f"{_PAPER}, Algorithm 2 (a linear transform); reported where it failed: pytorch/xla#913",
    ),
    Clause(
        "7.2",
        "In evaluate, the gradients of gamma and beta are those of the linear transform.",
        "dgamma = sum(dy * (x - running_mean) / sqrt(running_var + epsilon)), dbeta = sum(dy)",
        f"{_PAPER}, Algorithm 2",
    ),
    Clause(
        "7.3",
        "What is given as gradient with respect to the running statistics in evaluate is a choice.",
        "leaf: -gamma / s * sum(dy), -gamma / (2 s^3) * sum(dy * (x - running_mean)); constant: 0; refused: an error",
        "the paper is silent; behaviour differs between frameworks",
    ),
    Clause(
        "7.4",
        "With modes interleaved, a backward differentiates the forward that it belongs to.",
        "backward of an evaluate after a train uses the statistics which that evaluate used",
        "definition of the derivative; reported where it failed: torch/nn#768",
    ),
    Clause(
        "8.1",
        "Whether a gradient flows through the update of the state into an earlier batch is a choice.",
        "detached: 0; differentiable: chain rule through clauses 3.1 and 3.2",
        "the paper is silent; behaviour differs between frameworks",
    ),
    Clause(
        "9.1",
        "In train, second derivatives pass through the batch statistics twice.",
        "H = -gamma / (n s^2) * (P g xhat' + xhat (P g)' + (g . xhat) P - 3/n * (g . xhat) xhat xhat') "
        "for L = sum(y * g), P the centring matrix; mixed ones with gamma and dy likewise",
        f"derivative of clause 6.1; {_PAPER}, section 3",
    ),
    Clause(
        "9.2",
        "In evaluate, the output is linear in the input: the Hessian in x is zero, the mixed ones are constant in x.",
        "d(dx) = (v_gamma * dy + gamma * v_dy) / sqrt(running_var + epsilon) along (v_x, v_gamma, v_dy)",
        f"derivative of clause 7.1; {_PAPER}, Algorithm 2",
    ),
    Clause(
        "9.3",
        "Third derivatives in the input are those of the forward, in train and in evaluate, where they are zero.",
        "d^2/dt^2 of dx at x + t v",
        "definition of the derivative",
    ),
    Clause(
        "9.4",
        "Forward mode gives the derivative of the output along a direction, in train through the batch statistics.",
        "d/dt y(x + t v) = gamma / s * (v - avg(v) - xhat * avg(v * xhat)); in evaluate gamma / s * v",
        "definition of the derivative",
    ),
    Clause(
        "9.5",
        "Forward mode of second order gives the second derivative of the output along a direction.",
        "d^2/dt^2 y(x + t v); in evaluate 0",
        "definition of the derivative",
    ),
    Clause(
        "10.1",
        "What a frozen layer does in train is a choice.",
        "A: batch statistics, state moves; B: batch statistics, state stays; C: running statistics, state stays",
        "the paper is silent; documentation of keras.layers.BatchNormalization (trainable = False)",
    ),
    Clause(
        "10.2",
        "Freezing and thawing take effect with the next call, whatever calls went before.",
        "clause 10.1 while frozen, clauses 1.1 and 3.1 after thawing",
        "documentation of keras.layers.BatchNormalization (trainable = False)",
    ),
    Clause(
        "11.1",
        "What evaluate uses where no running statistics are kept is a choice.",
        "batch: mean and var of the batch; initial: 0 and 1; refused: an error",
        "documentation of torch.nn.BatchNorm1d (track_running_stats = False)",
    ),
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
        f"{_PAPER}, section 3.2",
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
    Clause(
        "17.1",
        "Eager, compiled, graph and just-in-time execution give the same answers, also after a change of batch size.",
        "bounds as for a single execution; each execution is a column of its own",
        "clauses 1 to 16 do not depend on how a call is executed",
    ),
    Clause(
        "18.1",
        "Under a mask the statistics are those of the positions that it lets in; every position is normalised.",
        "mean = sum(mask * x) / sum(mask), var = sum(mask * (x - mean)^2) / sum(mask)",
        "documentation of keras.layers.BatchNormalization and flax.linen.BatchNorm (mask)",
    ),
    Clause(
        "18.2",
        "With synchronised statistics, replicas train as one layer on all their rows together.",
        "y, state and gradients of the joined batch; n counts the values of all replicas",
        "documentation of torch.nn.SyncBatchNorm and flax.linen.BatchNorm (axis_name)",
    ),
    Clause(
        "19.1",
        "The same call on the same state gives the same answer, bit for bit.",
        "y(x) = y(x)",
        "determinism of a function",
    ),
    Clause(
        "19.2",
        "In train, the order of the rows does not matter: the output is permuted like the input.",
        "y(P x) = P y(x), the same state after it",
        "clause 1.1 (an average does not depend on the order)",
    ),
    Clause(
        "19.3",
        "In train, a shift and a scale of the input are taken out again, up to epsilon.",
        "y(x + b) = y(x); y(a x) as with epsilon / a^2",
        "clause 1.1",
    ),
    Clause(
        "19.4",
        "Each channel is normalised on its own: a change in one leaves output, gradients and state of the others.",
        "y(x)[:, c] depends on x[:, c] only",
        f"{_PAPER}, section 3 (each feature on its own)",
    ),
    Clause(
        "19.5",
        "Two batches joined have the statistics of all their values, not the average of the two statistics.",
        "mean = p mean_1 + q mean_2, var = p var_1 + q var_2 + p q (mean_1 - mean_2)^2, p = n_1 / n, q = n_2 / n",
        "clause 1.1 (law of total variance)",
    ),
    Clause(
        "19.6",
        "In evaluate, the output is affine in the input.",
        "y(a x + b) = a y(x) + (1 - a) (beta - gamma * running_mean / s) + gamma * b / s",
        "clause 5.1",
    ),
    Clause(
        "20.1",
        "A layer that was saved and loaded again goes on as if it had not been.",
        "state, output and further updates are the same",
        "documentation of torch.save, keras Layer.save_own_variables and flax.serialization",
    ),
    Clause(
        "20.2",
        "A linear layer into which the batch norm after it was folded answers as the two do in evaluate.",
        "kernel' = gamma / s * kernel, bias' = gamma / s * (bias - running_mean) + beta, "
        "s = sqrt(running_var + epsilon)",
        "Jacob et al. 2018, arXiv:1712.05877, section 3.2; documentation of torch.nn.utils.fuse_conv_bn_eval",
    ),
    Clause(
        "20.3",
        "A layer that was exported in evaluate normalises with the running statistics that it had.",
        "clause 5.1, whatever else is in the batch",
        "documentation of torch.onnx.export and of ONNX' BatchNormalization (training_mode = 0)",
    ),
    Clause(
        "20.4",
        "What a layer that was exported in train normalises with is a choice.",
        "running: as 20.3; batch: clause 1.1; refused: an error",
        "the paper is silent; documentation of torch.onnx.export (training) and of ONNX' BatchNormalization",
    ),
    Clause(
        "20.5",
        "Folding and exporting read a layer: its state stays as it was.",
        "running = running",
        "clause 4.3 (a layer that is only looked at does not move)",
    ),
    Clause(
        "21.1",
        "On one batch, train and evaluate are apart by what the running statistics are from those of the batch.",
        "avg((y_evaluate - y_train)^2) = gamma^2 * (var * (q(running_var) - q(var))^2 "
        "+ (mean - running_mean)^2 * q(running_var)^2), q(s) = 1 / sqrt(s + epsilon)",
        "clauses 1.1 and 5.1",
    ),
    Clause(
        "21.2",
        "Trained on one batch k times, they approach each other, down to a floor where the estimator has a factor.",
        "clause 21.1 with running_mean = r M0 + (1 - r) mean, running_var = r S0 + (1 - r) b var, "
        "r = (1 - momentum)^k; b = 1: as (1 - momentum)^(2k); b = n / (n - 1): to about gamma^2 / (4 n^2)",
        "clauses 3.1, 3.2 and 21.1",
    ),
    Clause(
        "21.3",
        "A state that was read can be put back: the layer goes on from it as if nothing had come between.",
        "running = what was read; evaluate as before, bit for bit",
        "clause 5.1 (an output depends on input, parameters and state alone)",
    ),
    Clause(
        "21.4",
        "Two batches through one layer leave a state of the last, of both in turn, of their average, or of all rows.",
        "with D = mean_A - mean_B and equal sizes: running_var of all rows - average of the two = momentum * D^2 / 4 "
        "(b = 1); A then B - B then A = momentum^2 * (mean_B - mean_A)",
        "clauses 3.1, 3.2 and 19.5",
    ),
    Clause(
        "21.5",
        "Where the mode is left to the implementation, a forward whose gradient is taken trains, any other evaluates.",
        "clause 1.1 and the update of the state within a gradient, clause 5.1 outside",
        "documentation of Flux (BatchNorm, testmode!, trainmode!)",
    ),
    Clause(
        "21.6",
        "In train, a shift of all inputs is taken out by the layer: derivatives along it are zero.",
        "sum(dU/dx) = 0 over the batch, and the derivative of sum(dU/dx) too: no second derivative of a sample",
        "clauses 6.1, 9.1 and 19.3",
    ),
    Clause(
        "21.7",
        "A network is its layers in turn; its derivatives in the input are those of the chain rule.",
        "dense: W x + b; gelu: z / 2 * (1 + erf(z / sqrt 2)); batch norm: clauses 1.1 and 5.1",
        "Hendrycks & Gimpel 2016, arXiv:1606.08415; definition of the derivative",
    ),
)

CLAUSES: dict[str, Clause] = {clause.number: clause for clause in _ALL}
