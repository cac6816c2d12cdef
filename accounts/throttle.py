"""Tries that are counted before they are looked at, in the database all processes share (SEC-21).

A count that is read, then used, then written lets a hundred parallel tries through. Here a try
is one conditional update that must change one row. A database that fails raises: no try is made.
"""

from __future__ import annotations

from datetime import timedelta

from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from accounts.models import Tries

WINDOW = timedelta(minutes=15)


def try_claim(key: str, limit: int) -> bool:
    """Take one of ``limit`` tries in a quarter of an hour; False where they are used up."""
    now = timezone.now()
    rows = Tries.objects.filter(key=key)
    fresh = rows.filter(since__gt=now - WINDOW)
    if fresh.filter(count__lt=limit).update(count=F("count") + 1):
        return True
    # whoever changes the old row first starts the new window, the others count in it
    if rows.filter(since__lte=now - WINDOW).update(count=1, since=now):
        return True
    try:
        with transaction.atomic():
            Tries.objects.create(key=key, count=1, since=now)
        return True
    except IntegrityError:
        return bool(fresh.filter(count__lt=limit).update(count=F("count") + 1))


def try_give_back(key: str) -> None:
    """Uncount a try that succeeded; failures before it go on counting."""
    Tries.objects.filter(key=key, count__gt=0).update(count=F("count") - 1)


def tries_forget(prefix: str) -> int:
    """Lift what is counted under ``prefix``; returns how many keys."""
    return Tries.objects.filter(key__startswith=prefix).delete()[0]
