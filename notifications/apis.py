"""Channels, the outbox and a test message over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.lists import ListOperation
from accounts.models import Scope
from accounts.operations import IDEMPOTENCY_HEADER, READ_PROBLEMS, WRITE_PROBLEMS, Operation
from accounts.paging import AllowedChoiceField, ListFilters
from notifications.core.events import Kind
from notifications.models import MessageState
from notifications.selectors import channel_rows, message_list
from notifications.services import channel_test


class MessageFilters(ListFilters):
    channel = serializers.CharField(required=False, max_length=40)
    state = AllowedChoiceField(required=False, choices=MessageState.choices)
    kind = AllowedChoiceField(required=False, choices=[(k.value, k.value) for k in Kind])


class NotificationRow(serializers.Serializer):
    id = serializers.IntegerField()
    channel = serializers.CharField()
    kind = serializers.CharField()
    severity = serializers.CharField()
    subject = serializers.CharField()
    text = serializers.CharField()
    state = serializers.CharField(help_text="queued, sending, sent, failed or suppressed")
    why = serializers.CharField(help_text="why it was suppressed, held or failed")
    is_silent = serializers.BooleanField()
    tries = serializers.IntegerField()
    created_at = serializers.DateTimeField()
    due_at = serializers.DateTimeField()
    sent_at = serializers.DateTimeField(allow_null=True)


class MessageListApi(ListOperation):
    operation_id = "notification_list"
    filters = MessageFilters
    row = NotificationRow
    time_field = "created_at"

    def rows(self, filters: Mapping[str, Any]) -> QuerySet[Any]:
        return message_list(
            channel=filters.get("channel", ""),
            state=filters.get("state", ""),
            kind=filters.get("kind", ""),
        )


class ChannelRow(serializers.Serializer):
    name = serializers.CharField()
    kind = serializers.CharField(help_text="chat, webhook, ping or telegram")
    address = serializers.CharField(help_text="what may be shown of it, never a token")
    state = serializers.CharField(help_text="up, untried, failing or unusable")
    problem = serializers.CharField()
    last_sent_at = serializers.DateTimeField(allow_null=True)
    last_failed_at = serializers.DateTimeField(allow_null=True)
    last_error = serializers.CharField()
    fails_in_a_row = serializers.IntegerField()
    retry_at = serializers.DateTimeField(allow_null=True)
    waiting = serializers.IntegerField()
    sent = serializers.IntegerField(help_text="of the last 24 hours, like failed and suppressed")
    failed = serializers.IntegerField()
    suppressed = serializers.IntegerField()


class ChannelListOutput(serializers.Serializer):
    results = ChannelRow(many=True)


class ChannelListApi(Operation):
    @extend_schema(
        operation_id="notification_channel_list",
        responses={200: ChannelListOutput} | READ_PROBLEMS,
    )
    def get(self, request: Request) -> Response:
        return Response(ChannelListOutput({"results": channel_rows(timezone.now())}).data)


class ChannelTestInput(serializers.Serializer):
    reason = serializers.CharField(max_length=500)


class ChannelTestApi(Operation):
    """Ask the notifier for a test message; what became of it stands in the list."""

    required_scope = Scope.ADMIN

    @extend_schema(
        operation_id="notification_channel_test",
        request=ChannelTestInput,
        parameters=[IDEMPOTENCY_HEADER],
        responses={202: NotificationRow} | WRITE_PROBLEMS,
    )
    def post(self, request: Request, name: str) -> Response:
        given = self.checked(ChannelTestInput)
        message = channel_test(channel=name, actor=self.actor, reason=given["reason"])
        return Response(NotificationRow(message).data, status=202)
