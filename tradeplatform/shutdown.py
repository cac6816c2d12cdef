"""What is said when a worker stops, normally or by SIGTERM."""

from __future__ import annotations

from typing import Any

from celery.signals import worker_shutdown

from monitoring.layer import layer

LAYER_QUEUE = "optimization"


@worker_shutdown.connect
def tell_final_state(sender: Any, **_: Any) -> None:
    """The worker of the layer's queue says at its end where everything stands (OPT-69)."""
    if LAYER_QUEUE in sender.app.amqp.queues.consume_from:
        layer().report_at_shutdown(sender.hostname)
