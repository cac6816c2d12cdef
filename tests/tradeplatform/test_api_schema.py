"""The OpenAPI document is valid, complete, and what the API answers matches it."""

from contextlib import contextmanager

import pytest
import schemathesis
from django.core.handlers.wsgi import WSGIHandler
from django.core.management import call_command
from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from hypothesis import HealthCheck, Phase, given, settings
from rest_framework.test import APIClient

from tests.accounts.callers import by_token
from tests.trades.rows import make_everything

pytestmark = pytest.mark.django_db
EXAMPLES = 30


def test_the_document_is_valid_and_free_of_warnings(tmp_path):
    path = tmp_path / "schema.yaml"
    call_command("spectacular", "--validate", "--fail-on-warn", "--file", str(path))
    assert "/api/v1/decisions/{code}/why-not:" in path.read_text()


def test_the_document_is_served_to_users_and_its_pages_ask_nobody_else():
    """SEC-50"""
    assert APIClient().get("/api/v1/schema/").status_code == 401
    assert APIClient().get("/api/v1/docs/").status_code == 401
    page = by_token("viewer").get("/api/v1/docs/").content.decode()
    assert "drf_spectacular_sidecar" in page
    assert "cdn.jsdelivr.net" not in page


@contextmanager
def one_connection():
    """Keep the test's connection open: a real server closes it after each request.

    Not a fixture: each call of Django's test client connects these signals again.
    """
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.mark.slow
@pytest.mark.parametrize("role", ["anonymous", "viewer", "operator"])
def test_generated_requests_never_meet_a_server_error(role):
    """SEC-35, SEC-38, SEC-42: every operation, valid and invalid requests, no 5xx."""
    make_everything()
    headers = {}
    if role != "anonymous":
        headers["Authorization"] = by_token(role)._credentials["HTTP_AUTHORIZATION"]
    schema = schemathesis.openapi.from_dict(_document())
    operations = [result.ok() for result in schema.get_all_operations()]
    assert len(operations) > 30
    with one_connection():
        for operation in operations:
            _try(operation, headers)


def _document():
    return by_token("viewer").get("/api/v1/schema/", HTTP_ACCEPT="application/json").json()


def _try(operation, headers):
    @given(case=operation.as_strategy())
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        derandomize=True,
    )
    def requests_are_answered(case):
        response = case.call(app=WSGIHandler(), headers=headers)
        assert response.status_code < 500, (case.as_curl_command(), response.text)

    requests_are_answered()
