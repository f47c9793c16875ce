"""How long an implementation is asked that takes its host down again and again: a day must not go by."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["IN_A_ROW", "LOST", "Patience"]

#: So many crashes in a row, and so many seconds that they took together, are enough.
IN_A_ROW, LOST = 10, 300.0


@dataclass
class Patience:
    """What crashes in a row have cost, and whether the next case is asked all the same.

    When it is enough ten cases are left out before one is asked again, twenty before the next, and so on, until one is
    answered. Crashes that take little time go on being asked for: only what crashes by itself has crashed.
    """

    crashes: int = 0
    seconds: float = 0.0
    left_out: int = 0
    pause: int = IN_A_ROW

    def asks(self) -> bool:
        """Tell whether the next case is asked; counts it as left out if not."""
        if self.crashes < IN_A_ROW or self.seconds < LOST:
            return True
        if self.left_out == self.pause:
            self.left_out, self.pause = 0, 2 * self.pause
            return True
        self.left_out += 1
        return False

    def failed(self, seconds: float) -> None:
        """Count a crash, or a host that did not start again, which took so long."""
        self.crashes += 1
        self.seconds += seconds

    @property
    def why(self) -> str:
        """Say why a case was left out."""
        return f"not asked: the {self.crashes} that were asked last took the host down or ran past their time"

    @property
    def why_not_started(self) -> str:
        """Say why a case was left out whose host would have to be started."""
        return f"not asked: the host did not start again for any of the {self.crashes} that were asked last"
