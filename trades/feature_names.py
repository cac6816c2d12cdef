"""What the numbers of a feature row are called: kept once, not with every bar."""

from __future__ import annotations

from collections.abc import Mapping

from django.db import models
from django.utils import timezone

from trades.payloads import Legend


class FeatureNames(models.Model):
    """Names and categories of one feature frame, under the digest of both; never changed."""

    key = models.CharField(max_length=16, unique=True)
    names = models.JSONField()
    categories = models.JSONField()
    created_at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "feature names"


def feature_names_keep(*, legend: Legend) -> None:
    """Keep a legend; the same one again changes nothing."""
    FeatureNames.objects.get_or_create(
        key=legend.key,
        defaults={
            "names": list(legend.names),
            "categories": dict(legend.categories),
            "created_at": timezone.now(),
        },
    )


def legend_of(key: str) -> Legend | None:
    """Return the legend of a key, None where it was never kept."""
    row = FeatureNames.objects.filter(key=key).first()
    if row is None:
        return None
    categories: Mapping[str, int] = row.categories
    return Legend(row.key, tuple(row.names), categories)
