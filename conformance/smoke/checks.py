"""All checks, in the order in which a fault is best looked for, and how one is made."""

from __future__ import annotations

import traceback

from conformance.adapters.contract import Adapter
from conformance.host.messages import Checked
from conformance.smoke import answers, keeps, means, says
from conformance.smoke.check import Check, NotAskedError, Subject, UnfitError

__all__ = ["CHECKS", "make"]

CHECKS: dict[str, Check] = {
    check.name: check
    for check in (
        Check("describe", "it says who is asked, and in which version", says.describes),
        Check("dialect", "its dialect is one, for every layer", says.speaks),
        Check("unsupported", "what it cannot be asked has a reason", says.tells_what_it_lacks),
        Check("shapes", "outputs are NumPy's, in the layout of their inputs", answers.keeps_shapes),
        Check("dtypes", "output, gradients and state have the dtype that was given", answers.keeps_dtypes),
        Check("mode", "training and evaluating are told apart", means.obeys_the_mode),
        Check("parameters", "gamma and beta reach their channels", means.places_parameters),
        Check("state", "the state is what was given and set, bit for bit", keeps.keeps_the_state),
        Check("momentum", "momentum weighs the new batch", means.weighs_the_new_batch),
        Check("epsilon", "epsilon reaches the framework", means.hands_on_epsilon),
        Check("channels", "channels are found wherever they are wanted", means.finds_the_channels),
        Check("gradients", "gradients are those asked for, of dy, and can be repeated", answers.differentiates),
        Check("copies", "what was handed over stays as it is", answers.gives_copies),
        Check("layers", "a new layer knows nothing of another", keeps.keeps_layers_apart),
        Check("errors", "errors get through", keeps.hides_no_error),
        Check("abilities", "what it offers beside is whole", keeps.has_whole_abilities),
    )
}


def make(adapter: Adapter, name: str) -> Checked:
    """Make one check of an adapter.

    Raises:
        KeyError: there is no check of that name.
    """
    try:
        CHECKS[name].act(Subject(adapter))
    except NotAskedError as reason:
        return Checked(why=str(reason))
    except UnfitError as fault:
        return Checked(did=fault.did, expected=fault.expected, remedy=fault.remedy)
    except Exception as error:  # noqa: BLE001  (whatever the adapter or its framework raises)
        return Checked(
            did=f"it raised {type(error).__name__}: {error} ({_place(error)})",
            expected="an answer: this is as simple a layer as there is",
            remedy="mend the call; if the framework cannot be asked this, say so in unsupported()",
        )
    return Checked()


def _place(error: BaseException) -> str:
    """Return where in the code an error was raised, the adapter's part of the way before the framework's."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "conformance/smoke" not in frame.filename]
    return f"{frames[0].filename}:{frames[0].lineno}, in {frames[0].name}" if frames else "in the check"
