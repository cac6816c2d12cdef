"""What this room does by the clock."""

from __future__ import annotations

from celery import shared_task
from django.conf import settings

from accounts.audit_heads import head_export


@shared_task(ignore_result=True, soft_time_limit=20, time_limit=30)
def audit_head_export() -> int:
    """Write the day's head of the audit chain to the log and to a file; return its number."""
    return head_export(settings.VAR_DIR).seq
