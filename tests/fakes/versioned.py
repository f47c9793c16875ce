"""An adapter whose version its environment tells, as environments of a framework do."""

from __future__ import annotations

import os

from third_party import Sound

from conformance.adapters.contract import Implementation


class Adapter(Sound):
    def describe(self) -> Implementation:
        return Implementation(name="versioned", versions={"versioned": os.environ["FAKE_VERSION"]})
