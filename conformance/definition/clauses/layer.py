"""A layer that is frozen or keeps no statistics, is executed otherwise, masked, or one of several replicas."""

from __future__ import annotations

from conformance.definition.clauses.clause import Clause

__all__ = ["CLAUSES"]

CLAUSES = (
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
)
