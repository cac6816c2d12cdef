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
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.accounts.callers import by_token
from tests.trades.rows import make_everything

pytestmark = pytest.mark.django_db
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


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
@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize(
    ("role", "examples"), [("anonymous", 2), ("viewer", 4), ("operator", 6), ("admin", 4)]
)
def test_generated_requests_are_answered_as_documented(role, examples, mode):
    """SEC-35, SEC-38, SEC-42: every operation, valid and invalid requests, never a 5xx."""
    make_everything()
    headers = {}
    if role != "anonymous":
        headers["Authorization"] = by_token(role)._credentials["HTTP_AUTHORIZATION"]
    schema = schemathesis.openapi.from_dict(_document())
    operations = [result.ok() for result in schema.get_all_operations()]
    assert len(operations) > 30
    with one_connection():
        for operation in operations:
            if mode is GenerationMode.NEGATIVE and not _takes_something(operation):
                continue
            _try(operation, headers, mode, examples)


def _document():
    return by_token("viewer").get("/api/v1/schema/", HTTP_ACCEPT="application/json").json()


def _takes_something(operation):
    given = (operation.path_parameters, operation.query, operation.body)
    return any(len(part) for part in given)


def _try(operation, headers, mode, examples):
    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        derandomize=True,
    )
    def requests_are_answered(case):
        response = case.call(app=WSGIHandler(), headers=headers)
        case.validate_response(response, checks=CHECKS)

    requests_are_answered()
