"""Several calls held together: metamorphic relations, saving and deploying, scenarios."""

from __future__ import annotations

from conformance.definition.clauses.clause import PAPER, Clause

__all__ = ["CLAUSES"]

CLAUSES = (
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
        f"{PAPER}, section 3 (each feature on its own)",
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
