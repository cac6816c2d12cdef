"""Where the platform may post to: public addresses over TLS, never itself or a neighbour (SEC-41).

A name is looked up once, every address it has is judged, and the connection goes to the address
that was judged: asking again at connect time would let a name answer differently (DNS rebinding).
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from accounts.errors import OutboundRefused

TIMEOUT_S = 5.0
MAX_ANSWER_BYTES = 64 * 1024
PORTS = (443, 8443)
Lookup = Callable[[str, int], Sequence[str]]


@dataclass(frozen=True, slots=True)
class Target:
    """An address that was judged: ``ip`` is where the connection goes, ``host`` what TLS checks."""

    host: str
    port: int
    path: str
    ip: str


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes


def outbound_target(
    url: str, *, allowed_hosts: Sequence[str], lookup: Lookup | None = None
) -> Target:
    """Return where ``url`` leads, if we may go there.

    Args:
        allowed_hosts: exact names, or ``.example.org`` for every name below it.
        lookup: name and port to addresses; the system's by default.

    Raises:
        OutboundRefused: another scheme than https, credentials in the address, another port, a
            host that is not listed, a name without an address, or one that leads to a loopback,
            private, link-local, metadata, multicast or reserved address.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or 443
    except ValueError as error:
        raise OutboundRefused(f"the address was not one: {error}") from error
    host = (parts.hostname or "").rstrip(".").lower()
    if parts.scheme != "https":
        raise OutboundRefused(f"the scheme was {parts.scheme!r}, allowed: https")
    if parts.username is not None or parts.password is not None:
        raise OutboundRefused("the address held a name or password, allowed: none")
    if port not in PORTS:
        raise OutboundRefused(f"the port was {port}, allowed: {', '.join(map(str, PORTS))}")
    if not any(_matches(host, allowed) for allowed in allowed_hosts):
        named = ", ".join(allowed_hosts) or "none"
        raise OutboundRefused(f"the host was {host!r}, allowed: {named}")
    addresses = (lookup or _system_lookup)(host, port)
    if not addresses:
        raise OutboundRefused(f"the host {host!r} has no address")
    for address in addresses:
        # one bad address among good ones is enough: which one is used is chance
        if not _is_public(address):
            raise OutboundRefused(
                f"the host {host!r} leads to {address}, allowed: public addresses"
            )
    path = parts.path or "/"
    return Target(host, port, f"{path}?{parts.query}" if parts.query else path, addresses[0])


def outbound_post(target: Target, body: bytes, *, headers: dict[str, str] | None = None) -> Answer:
    """Post to a judged target and return the answer, whatever its status; follows no redirect.

    Raises:
        OSError: no connection, no valid certificate for the host, or no answer within five seconds.
    """
    connection = _Pinned(target)
    try:
        connection.request("POST", target.path, body=body, headers=headers or {})
        response = connection.getresponse()
        return Answer(response.status, response.read(MAX_ANSWER_BYTES))
    except http.client.HTTPException as error:
        raise OSError(f"{target.host} answered something that is not HTTP") from error
    finally:
        connection.close()


class _Pinned(http.client.HTTPSConnection):
    """Connects to the address that was judged, and checks the certificate for the name."""

    def __init__(self, target: Target) -> None:
        super().__init__(
            target.host, target.port, timeout=TIMEOUT_S, context=ssl.create_default_context()
        )
        self._ip = target.ip

    def connect(self) -> None:
        plain = socket.create_connection((self._ip, self.port), TIMEOUT_S)
        self.sock = self._context.wrap_socket(plain, server_hostname=self.host)  # type: ignore[attr-defined]


def _matches(host: str, allowed: str) -> bool:
    allowed = allowed.lower()
    return host.endswith(allowed) if allowed.startswith(".") else host == allowed


def _is_public(address: str) -> bool:
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        # an IPv4 address in IPv6 clothes is judged as what it is
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if inner is not None:
            return _is_public(str(inner))
        if ip in _NAT64:
            return _is_public(str(ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF)))
    return ip.is_global and not ip.is_multicast


_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def _system_lookup(host: str, port: int) -> list[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return [str(info[4][0]) for info in found]
