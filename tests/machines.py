"""How long the state machines run: in every change, or at night (T5).

``TRADEPLATFORM_MACHINES=EXAMPLESxSTEPS`` (for a night: 5000x100) runs more, with new examples each
time; left out, a fixed sample that is the same in every run.
"""

from __future__ import annotations

import os
import re

from hypothesis import HealthCheck, settings

VARIABLE = "TRADEPLATFORM_MACHINES"


def machine_settings(examples: int, steps: int) -> settings:
    """Return hypothesis settings: those given in every change, or what the variable says."""
    wanted = os.environ.get(VARIABLE, "")
    if wanted:
        found = re.fullmatch(r"(\d+)x(\d+)", wanted)
        if found is None:
            raise ValueError(f"{VARIABLE} was {wanted!r}, allowed: EXAMPLESxSTEPS, like 5000x100")
        examples, steps = int(found[1]), int(found[2])
    return settings(
        max_examples=examples,
        stateful_step_count=steps,
        derandomize=not wanted,
        deadline=None,
        print_blob=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
