"""Clients of each role, by token and by session."""

from django.test import Client
from rest_framework.test import APIClient

from accounts.services import token_create, user_create

PASSWORD = "correct horse battery"
SCOPES = {"viewer": "read", "operator": "operate", "admin": "admin"}


def by_token(role, **given):
    """A script's client; exceptions of a view become answers, as on a real server."""
    _, token = token_create(name=role, scope=SCOPES[role], actor="test", **given)
    client = APIClient(raise_request_exception=False)
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
    return client


def by_session(role, *, enforce_csrf_checks=False):
    """A browser's client, logged in as a new user of that role."""
    user = user_create(username=f"{role}-user", password=PASSWORD, role=role, actor="test")
    client = Client(enforce_csrf_checks=enforce_csrf_checks, raise_request_exception=False)
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


def anonymous():
    return APIClient(raise_request_exception=False)
