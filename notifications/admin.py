"""The outbox on the admin pages."""

from django.contrib import admin

from accounts.admin_tools import ReadOnlyAdmin
from notifications.models import Channel, Message


@admin.register(Message)
class MessageAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "channel", "kind", "severity", "state", "subject", "why")
    list_filter = ("state", "kind", "channel")
    search_fields = ("subject", "text")


@admin.register(Channel)
class ChannelAdmin(ReadOnlyAdmin):
    list_display = ("name", "kind", "address_shown", "is_active", "last_sent_at", "last_error")
    search_fields = ("name",)
