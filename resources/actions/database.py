"""The database through its own language: connections, statistics (ORC-43). Never its files."""

from __future__ import annotations

import time

from django.db import DatabaseError, connection

from resources.actions.base import Context, Outcome, Parameters, Plain
from resources.actions.memory import QUEUE_OF
from resources.errors import ActionFailed
from resources.models import SlowQuery


class DatabaseConnections(Plain):
    code = "database-connections"
    about = "closes connections that are older than their age or no longer usable"

    def parameters(self, context: Context) -> Parameters | None:
        return {"process": "general"}

    def apply(self, context: Context, parameters: Parameters, action_id: int) -> Outcome:
        queue = QUEUE_OF[str(parameters["process"])]
        context.workers.send("resources.tasks.close_connections", queue, {"action_id": action_id})
        return Outcome(is_sent=True)


class DatabaseStatistics(Plain):
    """Writers wait for it a moment, so not while an order is in flight."""

    code = "database-statistics"
    about = "renews what the database knows of its tables, for better plans"
    touches_trading = True

    def parameters(self, context: Context) -> Parameters | None:
        return {"vendor": connection.vendor}

    def apply(self, context: Context, parameters: Parameters, action_id: int) -> Outcome:
        statement = "PRAGMA optimize" if connection.vendor == "sqlite" else "ANALYZE"
        slow_before = SlowQuery.objects.count()
        began = time.monotonic()
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement)
        except DatabaseError as error:
            raise ActionFailed(f"{statement} failed: {error}") from error
        took_ms = (time.monotonic() - began) * 1000.0
        return Outcome(
            before={"slow_statements": float(slow_before)},
            after={"slow_statements": float(SlowQuery.objects.count()), "took_ms": took_ms},
        )
