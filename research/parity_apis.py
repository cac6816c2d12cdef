"""Judged days over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db.models import QuerySet
from rest_framework import serializers

from accounts.lists import ListOperation
from research.parity import parity_list


class ParityDifference(serializers.Serializer[Any]):
    label = serializers.ChoiceField(choices=["price", "timing", "fill", "data", "config", "code"])
    at_ms = serializers.IntegerField()
    symbol = serializers.CharField()
    strategy = serializers.CharField()
    what = serializers.CharField()
    then = serializers.CharField(help_text="the day's own value")
    now = serializers.CharField(help_text="that of a replay")
    is_explained = serializers.BooleanField()
    decision = serializers.CharField(help_text="its code, empty where it is about bars")


class ParityRow(serializers.Serializer[Any]):
    """One day of a run decided again; ``differences`` are the first 300 of them."""

    run = serializers.UUIDField(source="run.code")
    day = serializers.DateField()
    bars = serializers.IntegerField()
    decisions = serializers.IntegerField()
    redone = serializers.IntegerField()
    same = serializers.IntegerField()
    orders = serializers.IntegerField()
    slippage_bps = serializers.FloatField(allow_null=True)
    counts = serializers.DictField(child=serializers.IntegerField())
    unexplained = serializers.IntegerField()
    differences = ParityDifference(many=True)
    code_version = serializers.CharField()
    started_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField()


class ParityListApi(ListOperation):
    operation_id = "parity_list"
    row = ParityRow
    time_field = "started_at"

    def rows(self, filters: Mapping[str, Any]) -> QuerySet[Any]:
        return parity_list().order_by("-started_at", "-id")
