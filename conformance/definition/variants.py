"""Named small changes of the oracle: other options of the choices, and mistakes worth naming."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from conformance.definition.rules import Rules

__all__ = ["VARIANTS", "Variant", "apply", "named", "option_name"]


@dataclass(frozen=True)
class Variant:
    """One named change. ``choices`` change the dialect, ``mistakes`` any other rule."""

    name: str
    sentence: str
    choices: dict[str, str] = field(default_factory=dict)
    mistakes: dict[str, str] = field(default_factory=dict)

    def applied_to(self, rules: Rules) -> Rules:
        """Return ``rules`` with this change."""
        changes: dict[str, Any] = dict(self.mistakes)
        return replace(rules, dialect=replace(rules.dialect, **_typed(self.choices)), **changes)

    def changes(self, rules: Rules) -> bool:
        """Tell whether ``rules`` do not already have this change."""
        return self.applied_to(rules) != rules


def apply(names: Iterable[str], rules: Rules) -> Rules:
    """Return ``rules`` with the named variants applied, in that order.

    Raises:
        KeyError: there is no variant of such a name.
    """
    for name in names:
        rules = VARIANTS[name].applied_to(rules)
    return rules


def option_name(choice: str, option: str) -> str:
    """Return the name of the variant that is this option of this choice; a generic one if there is none."""
    wanted = {choice: option}
    return next((name for name, variant in VARIANTS.items() if variant.choices == wanted and not variant.mistakes),
                f"{choice.replace('_', ' ')}: {option}")  # fmt: skip


def named(*, choices: bool) -> tuple[str, ...]:
    """Return the names of the variants that are options of a choice, or of those that are mistakes."""
    return tuple(name for name, variant in VARIANTS.items() if bool(variant.choices) == choices)


def _typed(choices: dict[str, str]) -> dict[str, Any]:
    return dict(choices)


def _choice(name: str, sentence: str, **choices: str) -> Variant:
    return Variant(name, sentence, choices=choices)


def _mistake(name: str, sentence: str, **mistakes: str) -> Variant:
    return Variant(name, sentence, mistakes=mistakes)


_CHOICES = (
    _choice("updated statistics in train", "Training normalises with the running statistics after the update.",
            train_statistics="updated"),
    _choice("batch statistics in train", "Training normalises with the statistics of its batch.",
            train_statistics="batch"),
    _choice("sample running variance", "The running variance blends in var * n / (n - 1).", running_variance="sample"),
    _choice("population running variance", "The running variance blends in var itself.", running_variance="population"),
    _choice("running variance over n - 1 - epsilon", "The running variance blends in var * n / (n - 1 - epsilon).",
            running_variance="over-n-1-epsilon"),
    _choice("running variance over n - 1 and n - 1 - epsilon",
            "The running variance blends in var * n / (n - 1) * n / (n - 1 - epsilon).",
            running_variance="sample-over-n-1-epsilon"),
    _choice("momentum swapped", "The momentum weighs the old state, and 1 - momentum the batch.", momentum="old"),
    _choice("momentum not swapped", "The momentum weighs the new batch.", momentum="new"),
    _choice("constants in float32", "Epsilon and 1 - momentum are float32 numbers, whatever the layer's dtype.",
            constants="float32"),
    _choice("constants and weights in float32",
            "Epsilon, 1 - momentum, and 1 minus that are float32 numbers, whatever the layer's dtype.",
            constants="float32 each"),
    _choice("epsilon and both weights in float32",
            "Epsilon, momentum and 1 - momentum are float32 numbers, each of its own, whatever the layer's dtype.",
            constants="float32 both"),
    _choice("epsilon and weight of the batch in float32",
            "Epsilon and the weight of the batch are float32 numbers, whatever the layer's dtype.",
            constants="float32 new"),
    _choice("weight of the batch in float32",
            "The weight of the batch is a float32 number, whatever the layer's dtype; epsilon is not.",
            constants="float32 momentum"),
    _choice("weight of the old state in float32",
            "1 - momentum is a float32 number, whatever the layer's dtype; epsilon is not.", constants="float32 old"),
    _choice("constants in their own precision", "Epsilon and momentum are as precise as the layer.", constants="own"),
    _choice("first update replaces", "The first update replaces the state by the batch.", first_update="replace"),
    _choice("updates debiased", "The running statistics are divided by 1 - (1 - momentum)^k.", first_update="debias"),
    _choice("first update blends", "The first update blends like any other.", first_update="blend"),
    _choice("gradient to the statistics", "The running statistics are leaves that have a gradient.",
            statistics_gradient="leaf"),
    _choice("no gradient to the statistics", "The gradient of the running statistics is zero.",
            statistics_gradient="constant"),
    _choice("gradient of the statistics refused", "Asking for the gradient of the running statistics raises an error.",
            statistics_gradient="refused"),
    _choice("update differentiable", "A gradient flows through the update into the earlier batch.",
            update_gradient="differentiable"),
    _choice("update detached", "No gradient flows through the update of the state.", update_gradient="detached"),
    _choice("recomputation moves the state again", "A forward done again by its backward moves the state again.",
            recomputation="again"),
    _choice("recomputation moves the state once", "A forward done again by its backward leaves the state alone.",
            recomputation="once"),
    _choice("frozen: batch statistics, state moves", "A frozen layer trains as if it were not frozen.", frozen="A"),
    _choice("frozen: batch statistics, state stays", "A frozen layer normalises with the batch and leaves its state.",
            frozen="B"),
    _choice("frozen: running statistics", "A frozen layer evaluates, whatever the mode.", frozen="C"),
    _choice("untracked: batch statistics", "Without running statistics, evaluate uses those of its batch.",
            untracked="batch"),
    _choice("untracked: initial statistics", "Without running statistics, evaluate uses mean 0 and variance 1.",
            untracked="initial"),
    _choice("untracked: refused", "Without running statistics, evaluating raises an error.", untracked="refused"),
    _choice("16-bit state", "The state of a layer with 16-bit parameters has their dtype.", state_dtype="parameters"),
    _choice("float32 state beside 16-bit parameters", "The state of a layer with 16-bit parameters is float32.",
            state_dtype="float32"),
    _choice("exported in train: running statistics", "A layer exported in train normalises as one that evaluates.",
            exported="running"),
    _choice("exported in train: batch statistics", "A layer exported in train normalises with each batch it is given.",
            exported="batch"),
    _choice("exported in train: refused", "Exporting a layer in train raises an error.", exported="refused"),
)  # fmt: skip

_MISTAKES = (
    _mistake("epsilon outside the root", "s is sqrt(var) + epsilon.", epsilon="outside"),
    _mistake("epsilon missing", "s is sqrt(var).", epsilon="missing"),
    _mistake("epsilon squared", "s is sqrt(var + epsilon^2).", epsilon="squared"),
    _mistake("epsilon as a floor", "s is sqrt(max(var, epsilon)).", epsilon="floor"),
    _mistake("epsilon added in float16", "The sum var + epsilon, and epsilon before it, are rounded to float16.",
             radicand_in="float16"),
    _mistake("epsilon missing in evaluate", "Evaluate divides by sqrt(running_var).", epsilon_evaluate="missing"),
    _mistake("epsilon outside the root in evaluate", "Evaluate divides by sqrt(running_var) + epsilon.",
             epsilon_evaluate="outside"),
    _mistake("Bessel factor in the output", "Training normalises with the sample variance.",
             output_variance="sample"),
    _mistake("statistics per position", "The statistics are averaged over the batch only.", axes="position"),
    _mistake("statistics per instance", "The statistics are averaged over the positions of one row only.",
             axes="instance"),
    _mistake("statistics over all channels", "The statistics are averaged over the channels too.", axes="all"),
    _mistake("mask ignored", "The statistics are those of all values, masked or not.", mask="ignored"),
    _mistake("mask count padded", "Sums under a mask are divided by its count plus 1e-7.", mask="count padded"),
    _mistake("running statistics in train", "Training normalises with the running statistics before the update.",
             train_uses="running"),
    _mistake("batch statistics in evaluate", "Evaluate normalises with the statistics of its batch.",
             evaluate_uses="batch"),
    _mistake("initial statistics in evaluate", "Evaluate normalises with mean 0 and variance 1.",
             evaluate_uses="initial"),
    _mistake("updated statistics in evaluate",
             "Evaluate normalises with what its batch would make of the running statistics.", evaluate_uses="updated"),
    _mistake("gamma ignored", "The output is not scaled.", gamma="ignored"),
    _mistake("gamma without its sign", "The output is scaled by |gamma|.", gamma="absolute"),
    _mistake("gamma plus one", "The output is scaled by 1 + gamma.", gamma="plus one"),
    _mistake("gamma after beta", "The output is gamma * (xhat + beta).", gamma="after beta"),
    _mistake("beta ignored", "The output is not shifted.", beta="ignored"),
    _mistake("cumulative momentum 0.1", "Cumulative momentum is taken for 0.1.", cumulative="momentum 0.1"),
    _mistake("cumulative momentum 0", "Cumulative momentum is taken for 0.", cumulative="momentum 0"),
    _mistake("cumulative count late by one", "The k-th update weighs its batch 1 / (k + 1).", cumulative="late"),
    _mistake("cumulative keeps the last batch", "Cumulative momentum is taken for 1.", cumulative="last"),
    _mistake("state never updated", "A training forward leaves the state as it was.", updates="never"),
    _mistake("state updated twice", "A training forward moves the state twice.", updates="twice"),
    _mistake("state updated in evaluate", "Evaluating moves the state.", updates="in evaluate too"),
    _mistake("state updated by the backward", "Only a training forward followed by its backward moves the state.",
             updates="with backward"),
    _mistake("state updated by each backward", "Every backward of a training forward moves the state.",
             updates="with each backward"),
    _mistake("running mean only", "The running variance is never updated.", updated="mean only"),
    _mistake("running variance only", "The running mean is never updated.", updated="variance only"),
    _mistake("Bessel factor on the mean", "The running mean blends in mean * n / (n - 1).", mean_factor="bessel"),
    _mistake("Bessel factor of the rows", "The running variance blends in var * N / (N - 1), N rows.",
             variance_count="rows"),
    _mistake("Bessel factor over the channels", "The Bessel factor counts the values of all channels.",
             variance_count="channels"),
    _mistake("Bessel factor off by one", "The running variance blends in var * (n + 1) / n.",
             variance_count="plus one"),
    _mistake("running standard deviation", "The running variance holds a standard deviation.",
             variance_kept="standard deviation"),
    _mistake("running inverse deviation", "The running variance holds 1 / s.",
             variance_kept="inverse standard deviation"),
    _mistake("running second moment", "The running variance holds avg(x^2).", variance_kept="second moment"),
    _mistake("epsilon in the running variance", "The running variance blends in var + epsilon.",
             variance_kept="with epsilon"),
    _mistake("running variance recovered from 1 / s", "The running variance blends in s^2 - epsilon, 1 / s rounded.",
             variance_kept="recovered"),
    Variant("debiased from one", "A running variance that starts at 1 is debiased as if it started at 0.",
            choices={"first_update": "debias"}, mistakes={"start": "debiased from one"}),
    _mistake("own running variance of zero", "A running variance that the layer makes for itself is 0.",
             own_variance="zero"),
    _mistake("state lost by saving", "A layer that was saved and loaded has the initial state.", reload="lost"),
    _mistake("batch statistics in folding", "A fold takes the statistics of a batch, not the running ones.",
             folded_statistics="batch"),
    _mistake("epsilon missing in folding", "A fold divides by sqrt(running_var).", folded_epsilon="missing"),
    Variant("epsilon as given in folding", "A layer keeps epsilon in float32, and is folded with the one it was given.",
            choices={"constants": "float32"}, mistakes={"folded_epsilon": "as given"}),
    _mistake("bias lost in folding", "A fold takes the bias of the linear layer for zero.", folded_bias="lost"),
    _mistake("bias unscaled in folding", "A fold adds the bias of the linear layer without gamma / s.",
             folded_bias="unscaled"),
    _mistake("kernel folded along its inputs", "A fold scales the kernel by feature of its input, not by unit.",
             folded_axis="features"),
    _mistake("batch statistics in an exported model", "What was exported in evaluate normalises with its batch.",
             exported_statistics="batch"),
    _mistake("epsilon of an exported model in float32", "The epsilon of an exported model is a float32 number.",
             exported_epsilon="float32"),
    _mistake("epsilon of an exported model 1e-5", "An exported model has the epsilon 1e-5, whatever the layer has.",
             exported_epsilon="1e-5"),
    _mistake("state moved by exporting", "Exporting a layer in train moves its state.", exporting="moves the state"),
    _mistake("statistics detached in train", "The training gradient treats the statistics as constants.",
             train_gradient="detached"),
    _mistake("mean detached in train", "The training gradient lacks the term of the mean.",
             train_gradient="mean detached"),
    _mistake("variance detached in train", "The training gradient lacks the term of the variance.",
             train_gradient="variance detached"),
    _mistake("Bessel factor in the gradient", "The averages in the training gradient divide by n - 1.",
             train_gradient="sample"),
    _mistake("gradient through constants", "The gradient in evaluate has the terms of the statistics.",
             evaluate_gradient="through statistics"),
    _mistake("zero gradient in evaluate", "The gradient of the input in evaluate is zero.", evaluate_gradient="zero"),
    _mistake("gamma missing in dx", "The gradient of the input lacks the factor gamma.", dx_gamma="missing"),
    _mistake("dgamma averaged", "The gradient of gamma is an average, not a sum.", dgamma="average"),
    _mistake("dgamma uncentred", "The gradient of gamma is sum(dy * x) / s.", dgamma="uncentred"),
    _mistake("dgamma unscaled", "The gradient of gamma is sum(dy * (x - mean)).", dgamma="unscaled"),
    _mistake("dgamma zero", "The gradient of gamma is zero.", dgamma="zero"),
    _mistake("dgamma of batch statistics in evaluate", "The gradient of gamma in evaluate uses the batch's statistics.",
             dgamma="batch in evaluate"),
    _mistake("dbeta averaged", "The gradient of beta is an average, not a sum.", dbeta="average"),
    _mistake("dbeta scaled", "The gradient of beta has the factor gamma.", dbeta="scaled"),
    _mistake("dbeta zero", "The gradient of beta is zero.", dbeta="zero"),
    _mistake("dbeta in the input's precision", "The gradient of beta is rounded to the dtype of the input.",
             dbeta="input precision"),
    _mistake("backward of the latest forward", "A backward uses the statistics of the latest forward.",
             backward_of="latest forward"),
    _mistake("backward of the current state",
             "A backward through an evaluate uses the running statistics of its own time, not those of its forward.",
             backward_of="current state"),
    _mistake("repeated backward accumulates", "A second backward adds to the first.", repeated="accumulates"),
    _mistake("statistics detached in second derivatives",
             "The gradient is differentiated with its saved statistics held constant.",
             second_order="statistics constant"),
    _mistake("second derivatives zero", "The gradient is taken for a constant when it is differentiated.",
             second_order="zero"),
    _mistake("statistics detached in forward mode", "Forward mode treats the statistics as constants.",
             forward_mode="statistics constant"),
    _mistake("gradient terms in the input's precision",
             "The terms of dx are rounded to the dtype of the input before they are added up.",
             gradient_terms="input precision"),
    _mistake("statistics detached in third derivatives",
             "The second derivative is differentiated with its saved statistics held constant.",
             third_order="statistics constant"),
    _mistake("mean detached in the variance in third derivatives",
             "The gradient of the gradient is differentiated with the mean inside the variance held constant.",
             third_order="mean constant in the variance"),
    _mistake("statistics detached in nested forward mode",
             "The derivative by forward mode is differentiated with its saved statistics held constant.",
             forward_mode="statistics constant in the second"),
    _mistake("mean detached in the variance",
             "The variance is avg((x - c)^2), c the mean held constant: only its first derivative is right.",
             variance_centre="held constant"),
    _mistake("one-pass variance", "The variance is computed as avg(x^2) - mean^2.", variance_algorithm="one-pass"),
    _mistake("one-pass variance, not clipped",
             "The variance is computed as avg(x^2) - mean^2, and is negative where rounding makes it so.",
             variance_algorithm="one-pass unclipped"),
    _mistake("state starts in float32",
             "A state that the layer makes for itself is float32, and so is what is made of it, until it is updated.",
             state_starts_in="float32"),
    _mistake("state blended in its own precision",
             "Momentum and the products of the update are rounded to the dtype of the state.",
             update_arithmetic="state's precision"),
    _mistake("batch statistics in the parameters' precision",
             "Training normalises with mean, variance and 1 / s rounded to the dtype of the parameters.",
             batch_statistics="parameters' precision"),
    _mistake("batch statistics saved in the input's precision",
             "The backward takes mean and 1 / s rounded to the dtype of the input.",
             batch_statistics="input's precision in the backward"),
    _mistake("state kept in float16", "The running statistics are rounded to float16.", state_kept_in="float16"),
    _mistake("state kept in bfloat16", "The running statistics are rounded to bfloat16.", state_kept_in="bfloat16"),
    _mistake("state kept in float32", "The running statistics are rounded to float32.", state_kept_in="float32"),
    _mistake("computed in float32", "Float64 input is computed in float32.", computed_in="float32"),
    _mistake("computed in float16", "The layer computes in float16.", computed_in="float16"),
    _mistake("computed in bfloat16", "The layer computes in bfloat16.", computed_in="bfloat16"),
)  # fmt: skip

VARIANTS: dict[str, Variant] = {variant.name: variant for variant in (*_CHOICES, *_MISTAKES)}

for _variant in VARIANTS.values():  # Every option named above exists: Rules and Dialect validate.
    _variant.applied_to(Rules())
