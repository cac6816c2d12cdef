"""The base of every API operation: scopes, one error shape, unsafe calls that may repeat."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from functools import partial
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.permissions import SAFE_METHODS
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.confirmation import require_confirmed
from accounts.errors import Refused
from accounts.models import ApiToken, IdempotencyKey, Scope
from accounts.permissions import actor_of
from accounts.problems import CONTENT_TYPE, ProblemDocument

IDEMPOTENCY_HEADER = OpenApiParameter(
    "Idempotency-Key",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    description="A repeat with the same key and body gets the first answer and has no effect.",
)
READ_PROBLEMS: dict[tuple[int, str] | int, type[ProblemDocument]] = {
    (code, CONTENT_TYPE): ProblemDocument for code in (400, 401, 403, 404, 429)
}
WRITE_PROBLEMS = READ_PROBLEMS | {(code, CONTENT_TYPE): ProblemDocument for code in (409, 413, 415)}


class KeyReused(Refused):
    reason_code = "idempotency_key_reused"


class KeyRefused(Refused):
    status = 400
    reason_code = "idempotency_key_invalid"


class Operation(APIView):
    """One operation. An unsafe call with an ``Idempotency-Key`` has its effect once (SEC-44).

    Claim, effect and stored answer share one transaction: a crash leaves none of them, and a
    parallel call with the same key waits for the first and gets its answer.
    """

    required_scope: Scope | None = None
    # an unsafe call from a session needs a login or a confirmation of the last five minutes
    needs_confirmation = False
    # shown once and never stored, so a repeat gets the answer with these left empty
    secret_fields: tuple[str, ...] = ()

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        method = str(request.method)
        if self.needs_confirmation and method not in SAFE_METHODS:
            require_confirmed(request)
        key = request.headers.get("Idempotency-Key")
        if method in SAFE_METHODS or key is None:
            return
        if not 1 <= len(key) <= 120 or not key.isascii() or not key.isprintable():
            raise KeyRefused("Idempotency-Key was not 1 to 120 printable ASCII characters")
        act = getattr(self, method.lower(), self.http_method_not_allowed)
        # an instance serves one request, so binding here reaches exactly this call
        setattr(self, method.lower(), partial(self._once, key, act))

    def checked(self, serializer: type[serializers.Serializer[Any]]) -> dict[str, Any]:
        """Return the validated body.

        Raises:
            ValidationError: answered with 400 and the errors of each field.
        """
        given = serializer(data=self.request.data)
        _texts_are_text(given, self.request.data)
        given.is_valid(raise_exception=True)
        return dict(given.validated_data)

    @property
    def actor(self) -> str:
        return actor_of(self.request)

    def _once(
        self, key: str, act: Callable[..., Response], request: Request, *args: Any, **kwargs: Any
    ) -> Response:
        digest = _digest(request)
        with transaction.atomic():
            claim, is_first = _claim(_owner(request), key, digest)
            if not is_first:
                return _repeated(claim, digest)
            response = act(request, *args, **kwargs)
            claim.response_status = response.status_code
            claim.response_body = self._storable(response.data)
            claim.save()
        return response

    def _storable(self, data: Any) -> Any:
        plain = json.loads(JSONRenderer().render(data) or b"null")
        if self.secret_fields and isinstance(plain, dict):
            return plain | dict.fromkeys(self.secret_fields, "")
        return plain


def _texts_are_text(given: serializers.Serializer[Any], body: object) -> None:
    """Refuse numbers where text is documented; the framework would spell them out (F-104)."""
    if not isinstance(body, dict):
        return
    wrong = {
        name: [f"Must be text, was {type(body[name]).__name__}."]
        for name, field in given.fields.items()
        if isinstance(field, serializers.CharField) and isinstance(body.get(name), int | float)
    }
    if wrong:
        raise serializers.ValidationError(wrong)


def _owner(request: Request) -> str:
    kind = "token" if isinstance(request.auth, ApiToken) else "user"
    key = request.auth.pk if isinstance(request.auth, ApiToken) else request.user.pk
    return f"{kind}:{key}"


def _digest(request: Request) -> str:
    body = json.dumps(request.data, sort_keys=True)
    return hashlib.sha256(f"{request.method} {request.path}\n{body}".encode()).hexdigest()


def _claim(owner: str, key: str, digest: str) -> tuple[IdempotencyKey, bool]:
    try:
        with transaction.atomic():
            row = IdempotencyKey.objects.create(
                actor=owner, key=key, request_digest=digest, created_at=timezone.now()
            )
        return row, True
    except IntegrityError:
        # the unique key: the other call has committed by now, its answer can be read
        return IdempotencyKey.objects.get(actor=owner, key=key), False


def _repeated(claim: IdempotencyKey, digest: str) -> Response:
    if claim.request_digest != digest:
        raise KeyReused("the key was used for another request, this body or path was different")
    response = Response(claim.response_body, status=claim.response_status)
    response["Idempotency-Replayed"] = "true"
    return response
