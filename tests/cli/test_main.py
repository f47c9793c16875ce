"""The command itself: verbs that there are not."""

from __future__ import annotations

import pytest

from conformance.cli.main import VERBS, main


@pytest.mark.parametrize(("given", "said"), [
    ("expalin", "no verb is named 'expalin'; did you mean explain?"),
    ("identfy", "no verb is named 'identfy'; did you mean identify?"),
    ("frobnicate", "no verb is named 'frobnicate'\n"),
])  # fmt: skip
def test_unknown_verb(given: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A verb that there is not exits 2, and names the verb that looks like it."""
    assert 2 == main([given, "torch"])
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("verb", VERBS)
def test_known_verb_describes_itself(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Every verb prints how it is used."""
    with pytest.raises(SystemExit, match="0"):
        main([verb, "--help"])
    assert f"usage: conformance {verb}" in capsys.readouterr().out
