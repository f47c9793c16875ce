"""Rules, dialects and the table of variants."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from conformance.definition.dialect import Dialect, choices, options
from conformance.definition.rules import Rules, decisions
from conformance.definition.variants import VARIANTS, apply, named


def test_an_unknown_option_of_a_choice_is_refused() -> None:
    """A dialect says which field holds what, and what could stand there."""
    wrong: Any = "biased"
    with pytest.raises(ValueError, match="running_variance is 'biased'; expected one of sample, population"):
        Dialect(running_variance=wrong)


def test_an_unknown_rule_is_refused() -> None:
    """Rules say which decision has no such option."""
    wrong: Any = "nowhere"
    with pytest.raises(ValueError, match="epsilon is 'nowhere'"):
        Rules(epsilon=wrong)


def test_the_reference_keeps_what_the_paper_leaves_open() -> None:
    """The reference takes the paper's options, and the declared ones where the paper is silent."""
    declared = Dialect(running_variance="population", statistics_gradient="leaf")
    assert Dialect(statistics_gradient="leaf") == declared.reference()


def test_no_variant_is_named() -> None:
    """Without names the rules stay."""
    assert Rules() == apply((), Rules())


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_changes_something(name: str) -> None:
    """A variant changes the default rules, or those of another option of its choice, and then only once."""
    variant = VARIANTS[name]
    others = [Rules(), *_with_other_options(variant.choices)]
    changed = [rules for rules in others if variant.changes(rules)]
    assert changed
    assert not variant.changes(variant.applied_to(changed[0]))


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_says_what_it_does(name: str) -> None:
    """The sentence of a variant ends with a full stop and is not its name over again."""
    sentence = VARIANTS[name].sentence
    assert sentence.endswith(".")
    assert name != sentence.rstrip(".").lower()


def test_sentences_and_effects_are_unique() -> None:
    """No two variants say or do the same."""
    assert len(VARIANTS) == len({variant.sentence for variant in VARIANTS.values()})
    assert len(VARIANTS) == len({(str(variant.choices), str(variant.mistakes)) for variant in VARIANTS.values()})


def test_every_option_has_a_variant() -> None:
    """Every option of every choice, and every wrong option of every decision, is a variant."""
    told = {(choice, option) for variant in VARIANTS.values() for choice, option in variant.choices.items()}
    asked = {(choice, option) for choice in choices() for option in options(choice) if option != "undeclared"}
    assert set() == asked - told
    told = {(rule, option) for variant in VARIANTS.values() for rule, option in variant.mistakes.items()}
    asked = {(rule, option) for rule, known in decisions().items() for option in known[1:]}
    assert set() == asked - told


def test_choices_and_mistakes_are_told_apart() -> None:
    """Every variant is an option of a choice or a mistake."""
    assert set(VARIANTS) == {*named(choices=True), *named(choices=False)}


def test_rules_differ_by_their_dialect() -> None:
    """Two rules with different dialects are different keys of a cache."""
    assert Rules() != replace(Rules(), dialect=Dialect(momentum="old"))
    assert "dialect" in {field.name for field in fields(Rules)}


def _with_other_options(changes: dict[str, str]) -> list[Rules]:
    found = []
    for choice in changes:
        for option in options(choice):
            other: dict[str, Any] = {choice: option}
            found.append(Rules(dialect=replace(Dialect(), **other)))
    return found
