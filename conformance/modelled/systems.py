"""The systems that are modelled: MATLAB's Deep Learning Toolbox, Flux and Lux, each with its evidence."""

from __future__ import annotations

from conformance.adapters.contract import LayerConfig
from conformance.corpus.case import Case
from conformance.definition.dialect import Dialect
from conformance.modelled.model import Evidence, Model

__all__ = ["FLUX", "LUX", "MATLAB", "MODELS"]

_BATCHNORM = "https://www.mathworks.com/help/deeplearning/ref/dlarray.batchnorm.html"
_FLUX = "https://github.com/FluxML/Flux.jl/blob/v0.16.10/src/layers/normalise.jl"
_ZYGOTE = "https://github.com/FluxML/Zygote.jl/blob/master/src/lib/grad.jl"
_LUX = "https://github.com/LuxDL/Lux.jl/blob/main/lib/LuxLib/src/impl/normalization.jl"


def _cumulative(case: Case) -> str | None:
    if case.momentum == "cumulative":
        return "the weight of the batch is a number: there is no cumulative average"
    return None


def _matlab(_: LayerConfig) -> Dialect:
    return Dialect(running_variance="population", frozen="A")


def _matlab_lacks(case: Case) -> str | None:
    if not case.tracked:
        return "the layer always keeps statistics"
    return _mode_is_named(case) or _cumulative(case)


def _mode_is_named(case: Case) -> str | None:
    """Say that the mode is the caller's to name; Flux finds it out by the gradient call, as the formulas do."""
    if any(step.automatic is not None for step in case.program):
        return "the caller names the mode: there is none to find out"
    return None


def _flux(layer: LayerConfig) -> Dialect:
    return Dialect(
        constants="float32 new" if layer.param_dtype == "float64" else "own", statistics_gradient="leaf",
        update_gradient="detached", recomputation="again", frozen="A", untracked="batch",
    )  # fmt: skip


def _lux(layer: LayerConfig) -> Dialect:
    return Dialect(
        constants="float32 new" if layer.param_dtype == "float64" else "own", update_gradient="detached",
        untracked="batch",
    )  # fmt: skip


def _lux_lacks(case: Case) -> str | None:
    if case.shape.startswith("1x") and any(step.mode == "train" for step in case.program):
        return "it refuses to train on a batch of one"
    return _mode_is_named(case) or _cumulative(case)


MATLAB = Model(
    "matlab", "R2024a", _BATCHNORM, _matlab, _matlab_lacks,
    (
        Evidence("train_statistics", "docs", "With three outputs it normalises by the batch's.", _BATCHNORM),
        Evidence("momentum", "docs", "The decay weighs the statistics of the new batch.", _BATCHNORM),
        Evidence("running_variance", "inferred",
                 "Population: of it and the sample variance only it gives the thread's 2.7e-12 after 500 forwards."),
        Evidence("frozen", "inferred",
                 "A learn rate factor of zero is the optimiser's affair: forward still uses and moves the statistics."),
    ),
)  # fmt: skip

FLUX = Model(
    "flux", "0.16.10", _FLUX, _flux, _cumulative,
    (
        Evidence("train_statistics", "source", "In training mode mean and variance are those of the batch.", _FLUX),
        Evidence("running_variance", "source", "The variance of the batch is kept times m / (m - 1).", _FLUX),
        Evidence("momentum", "source", "It weighs the new batch, and 1 minus it the old state.", _FLUX),
        Evidence("constants", "source",
                 "Epsilon and momentum are Float32 by default, and f64(model) converts arrays only.", _FLUX),
        Evidence("statistics_gradient", "source", "In test mode the fields are arrays like any other.", _FLUX),
        Evidence("update_gradient", "source", "The update is declared non-differentiable.", _FLUX),
        Evidence("recomputation", "source", "Zygote.checkpointed calls the layer again, in training mode.", _ZYGOTE),
        Evidence("frozen", "source", "Freezing is the optimiser's affair: the layer takes no notice of it.", _FLUX),
        Evidence("untracked", "source", "Without statistics those of the batch are used in test mode, too.", _FLUX),
    ),
)  # fmt: skip

LUX = Model(
    "lux", "1.31.4", _LUX, _lux, _lux_lacks,
    (
        Evidence("train_statistics", "source", "In training mode mean and variance are those of the batch.", _LUX),
        Evidence("running_variance", "source", "The variance of the batch is kept times m / (m - 1).", _LUX),
        Evidence("momentum", "source", "It weighs the new batch, and 1 minus it the old state.", _LUX),
        Evidence("constants", "source", "Epsilon and momentum are Float32 by default.", _LUX),
        Evidence("update_gradient", "source", "The update is declared non-differentiable.", _LUX),
        Evidence("untracked", "source", "Without statistics those of the batch are used in test mode, too.", _LUX),
    ),
)  # fmt: skip

MODELS: dict[str, Model] = {model.name: model for model in (MATLAB, FLUX, LUX)}
