"""What a case must fulfil beyond the types of its fields."""

from __future__ import annotations

import difflib
from math import prod

from conformance.corpus.case import Case, Step
from conformance.corpus.marks import Node, fault
from conformance.corpus.shape import parse_shape
from conformance.definition.clauses import CLAUSES

__all__ = ["MOST_VALUES", "check_case"]

#: All inputs of a case together: a gigabyte in float64.
MOST_VALUES = 2**27


def check_case(case: Case, node: Node) -> None:
    """Check one expanded case against the tree it came from.

    Raises:
        CaseError: a clause does not exist, inputs do not fit the layer, or a gradient is asked for
            of something that the step does not depend on.
    """
    _check_clauses(case, node)
    _check_size(case, node)
    _check_inputs(case, node)
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


def _check_size(case: Case, node: Node) -> None:
    """Refuse what would fill the memory, before any of it is made."""
    shapes = [case.input(label).shape or case.shape for step in case.steps for label in step.labels]
    count = case.repeat * sum(prod(parse_shape(shape)) for shape in shapes)
    if count > MOST_VALUES:
        place = node.mapping.get("shape", node)
        found = f"found {count:.3g} values in all inputs ({shapes[0]} ...)"
        fault(place.mark, f"{found}, expected at most {MOST_VALUES:.3g}")


def _check_inputs(case: Case, node: Node) -> None:
    layer_shape = parse_shape(case.shape)
    accepted = (step for step in case.steps if not step.rejected)
    for label in dict.fromkeys(label for step in accepted for label in step.labels):
        spec = case.input(label)
        place = _input_node(node, label)
        shape = parse_shape(spec.shape or case.shape)
        if spec.joined:
            _check_joined(case, label, shape, place)
        if len(shape) != len(layer_shape) or shape[1] != layer_shape[1]:
            found, expected = (
                spec.shape,
                f"rank {len(layer_shape)} and {layer_shape[1]} channels like {case.shape}",
            )
            fault(
                place.mapping["shape"].mark, f"found the shape {found} for input {label}, expected {expected}"
            )
        if spec.values is not None and len(spec.values) != prod(shape):
            counts = f"found {len(spec.values)} values for input {label}, expected {prod(shape)}"
            fault(place.mapping["values"].mark, f"{counts} for the shape {spec.shape}")


def _check_joined(case: Case, label: str, shape: tuple[int, ...], place: Node) -> None:
    rows = sum(parse_shape(case.input(source).shape or case.shape)[0] for source in case.input(label).joined)
    if shape[0] != rows:
        counts = f"found {shape[0]} rows for input {label}, expected the {rows} of the inputs that it joins"
        fault(place.mapping["joined"].mark, counts, hint="give it a `shape`")


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
