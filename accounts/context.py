"""Who is calling: the request's id and address, for audit events written deep below a view."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CallContext:
    """``ip_address`` is the peer's; forwarded headers are not believed (SEC-22)."""

    request_id: str = ""
    ip_address: str = ""


NO_CALL = CallContext()
call_context: ContextVar[CallContext] = ContextVar("call_context", default=NO_CALL)
