"""Every component with its state, last success and version; and what the system page shows."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from monitoring.components import component_list, state_of
from monitoring.models import Alert
from resources import selectors as resources
from resources.core.health import Health


def system_status(now: datetime) -> dict[str, Any]:
    """Return the status document of all components (ORC-65): state, last success, version.

    ``state`` is the worst of the components' and of the resources' health.
    """
    components = [
        {
            "component": row.component,
            "state": state_of(row),
            "last_success_at": row.at,
            "age_s": row.age_s,
            "expected_every_s": row.expected_every_s,
            "version": row.code_version,
        }
        for row in component_list(now)
    ]
    told = resources.status(now)
    states = {row["state"] for row in components}
    if "down" in states or told["health"] == Health.CRITICAL:
        state = Health.CRITICAL
    elif "late" in states or told["health"] == Health.WARNING:
        state = Health.WARNING
    elif not components or told["health"] == Health.UNKNOWN:
        state = Health.UNKNOWN
    else:
        state = Health.HEALTHY
    return {
        "at": now,
        "state": state.value,
        "components": components,
        "resources": {
            "health": told["health"],
            "sampled_at": told["at"],
            "findings": told["findings"],
            "observe_only": told["observe_only"],
            "open_incidents": [incident.rule for incident in told["incidents"]],
        },
        "alerts_open": Alert.objects.filter(resolved_at__isnull=True).count(),
    }
