"""What a case must fulfil beyond the types of its fields."""

from __future__ import annotations

import difflib
from math import prod

from conformance.corpus.case import Case, Step
from conformance.corpus.marks import Node, fault
from conformance.corpus.shape import parse_shape
from conformance.definition.clauses import CLAUSES

__all__ = ["MOST_VALUES", "check_case"]

#: All inputs and kernels of a case together: a gigabyte in float64.
MOST_VALUES = 2**27


def check_case(case: Case, node: Node) -> None:
    """Check one expanded case against the tree it came from.

    Raises:
        CaseError: a clause does not exist, inputs do not fit the layer, or a gradient is asked for
            of something that the step does not depend on.
    """
    _check_clauses(case, node)
    _check_sources(case, node)
    _check_size(case, node)
    _check_inputs(case, node)
    _check_targets(case, node)
    _check_gradients(case, node)


def _check_clauses(case: Case, node: Node) -> None:
    items = node.mapping["clauses"].sequence
    if not items:
        fault(node.mapping["clauses"].mark, "found no clause, expected at least one")
    for number, item in zip(case.clauses, items, strict=True):
        if number not in CLAUSES:
            near = difflib.get_close_matches(number, CLAUSES, n=3)
            fault(
                item.mark,
                f"found clause {number}, expected one of the definition, as {', '.join(near) or '1.1'}",
            )


def _check_sources(case: Case, node: Node) -> None:
    """Refuse an input that is made from itself."""

    def follow(label: str, made: tuple[str, ...]) -> None:
        if label in made:
            place = _input_node(node, label)
            chain = " from ".join((*made[made.index(label) :], label))
            fault(place.mark, f"found {chain}, expected an input that is not made from itself")
        for source in case.input(label).sources:
            follow(source, (*made, label))

    for label in _asked(case):
        follow(label, ())


def _asked(case: Case) -> list[str]:
    """Return the labels that steps name, those of targets among them."""
    named = (label for step in case.steps for label in (*step.labels, *filter(None, (step.target,))))
    return list(dict.fromkeys(named))


def _made(case: Case) -> list[str]:
    """Return the labels of all inputs that are made: those that steps name, and what they are made from."""
    labels = _asked(case)
    for label in labels:  # grows while it is walked
        labels += [source for source in case.input(label).sources if source not in labels]
    return labels


def _shape_of(case: Case, label: str) -> tuple[int, ...]:
    return parse_shape(case.input(label).shape or case.shape)


def _check_size(case: Case, node: Node) -> None:
    """Refuse what would fill the memory, before any of it is made."""
    of_inputs = sum(prod(_shape_of(case, label)) for label in _made(case))
    folded = sum(step.folded is not None for step in case.steps)
    of_kernels = folded * case.layer.channels**2 * 3 ** (case.layer.rank - 2)
    count = case.repeat * (of_inputs + of_kernels)
    if case.network is not None:
        count += sum(prod(kernel) for kernel in case.network.dense(parse_shape(case.shape)[1]))
    if count > MOST_VALUES:
        place = node.mapping.get("shape", node)
        found = f"found {count:.3g} values in all inputs and kernels ({case.shape} ...)"
        fault(place.mark, f"{found}, expected at most {MOST_VALUES:.3g}")


def _check_inputs(case: Case, node: Node) -> None:
    layer_shape = parse_shape(case.shape)
    accepted = {label for step in case.steps if not step.rejected for label in step.labels}
    for label in _made(case):
        spec, shape, place = case.input(label), _shape_of(case, label), _input_node(node, label)
        if label in accepted and (len(shape) != len(layer_shape) or shape[1] != layer_shape[1]):
            expected = f"rank {len(layer_shape)} and {layer_shape[1]} channels like {case.shape}"
            found = f"found the shape {spec.shape} for input {label}"
            fault(place.mapping["shape"].mark, f"{found}, expected {expected}")
        if spec.values is not None and len(spec.values) != prod(shape):
            counts = f"found {len(spec.values)} values for input {label}, expected {prod(shape)}"
            fault(place.mapping["values"].mark, f"{counts} for the shape {spec.shape}")
        if spec.joined:
            _check_joined(case, label, place)
        if spec.of is not None and _shape_of(case, spec.of) != shape:
            found = f"found the shape {case.input(spec.of).shape} of input {spec.of}, of which {label} is made"
            fault(place.mapping["of"].mark, f"{found}, expected {spec.shape}", hint=f"give {label} the `shape`, too")


def _check_joined(case: Case, label: str, place: Node) -> None:
    shape, sources = _shape_of(case, label), case.input(label).joined
    for source in sources:
        if _shape_of(case, source)[1:] != shape[1:]:
            found = f"found the shape {case.input(source).shape} of input {source}, which {label} joins"
            fault(place.mapping["joined"].mark, f"{found}, expected {case.input(label).shape} but for the rows")
    rows = sum(_shape_of(case, source)[0] for source in sources)
    if shape[0] != rows:
        counts = f"found {shape[0]} rows for input {label}, expected the {rows} of the inputs that it joins"
        fault(place.mapping["joined"].mark, counts, hint="give it a `shape`")


def _check_targets(case: Case, node: Node) -> None:
    for step, place in zip(case.steps, node.mapping["steps"].sequence, strict=True):
        if step.target is None:
            continue
        wanted, shape = [_shape_of(case, label) for label in step.labels], _shape_of(case, step.target)
        rows = sum(one[0] for one in wanted) if step.replicas is not None else wanted[-1][0]
        if shape != (rows, *wanted[-1][1:]):
            expected = "x".join(map(str, (rows, *wanted[-1][1:])))
            found = f"found the shape {case.input(step.target).shape} of the target {step.target}"
            fault(place.mapping["target"].mark, f"{found}, expected {expected} like the output")


def _input_node(node: Node, label: str) -> Node:
    inputs = node.mapping.get("inputs")
    if inputs is not None and label in inputs.mapping:
        return inputs.mapping[label]
    return node.mapping.get("x", node)


def _check_gradients(case: Case, node: Node) -> None:
    named: dict[str | None, Step] = {}
    for step, place in zip(case.steps, node.mapping["steps"].sequence, strict=True):
        named[step.name] = step
        forward = named[step.backward] if step.backward is not None else step
        statistics = {"running_mean", "running_var"} & set(step.gradients)
        if statistics and forward.mode != "evaluate":
            mark = place.mapping["gradients"].mark
            found = f"the gradient of {', '.join(sorted(statistics))} in train"
            fault(mark, f"found {found}, expected it in evaluate, where the output depends on it")
        if step.through_update is not None and step.gradients:
            fault(place.mapping["gradients"].mark, "found `gradients`, expected none beside `through_update`")
