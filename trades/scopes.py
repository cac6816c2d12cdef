"""Scopes of the kill switch: everything, one account, a strategy or a symbol, and both in one.

``global``, ``strategy:CODE`` and ``symbol:SYMBOL`` hold for every account. ``account:NAME`` is one
account, ``account:NAME/strategy:CODE`` and ``account:NAME/symbol:SYMBOL`` a part of it.
"""

from __future__ import annotations

from collections.abc import Mapping

from trades.models import Mode, TradingRun

GLOBAL_SCOPE = "global"
_ACCOUNT = "account:"


def account_scope(account: str) -> str:
    return f"{_ACCOUNT}{account}"


def scopes_over(account: str, symbol: str, strategy: str) -> tuple[str, ...]:
    """Return every scope that stands over an order of one account, strategy and symbol."""
    own, parts = account_scope(account), (f"symbol:{symbol}", f"strategy:{strategy}")
    return (GLOBAL_SCOPE, *parts, own, *(f"{own}/{part}" for part in parts))


def split(scope: str) -> tuple[str, str]:
    """Return the account a scope is confined to, empty where to none, and the scope within it."""
    if not scope.startswith(_ACCOUNT):
        return "", scope
    account, _, inner = scope.removeprefix(_ACCOUNT).partition("/")
    return account, inner or GLOBAL_SCOPE


def overlap(first: str, second: str) -> bool:
    """True where some order may stand under both scopes."""
    (account, inner), (other_account, other_inner) = split(first), split(second)
    if account and other_account and account != other_account:
        return False
    if inner == other_inner or GLOBAL_SCOPE in (inner, other_inner):
        return True
    # a strategy trades many symbols, but two strategies or two symbols share no order
    return inner.partition(":")[0] != other_inner.partition(":")[0]


def confined(account: str, scope: str) -> str:
    """Return ``scope`` confined to one account; one that is confined already stays as it is."""
    if scope.startswith(_ACCOUNT):
        return scope
    own = account_scope(account)
    return own if scope == GLOBAL_SCOPE else f"{own}/{scope}"


def breaker_scope(run: TradingRun, scope: str) -> str:
    """Return where a breaker of this run stops: what one account lost stops no other.

    An only account has its breakers where a person looks first, in the unconfined scopes.
    """
    others = TradingRun.objects.filter(ended_at__isnull=True).exclude(mode=Mode.REPLAY)
    if not others.exclude(account=run.account).exists():
        return scope
    return confined(run.account, scope)


def of_account(counts: Mapping[str, int], account: str) -> dict[str, int]:
    """Return counts by scope as one account's book sees them: its own and the unconfined ones
    added up, those of other accounts left out."""
    found: dict[str, int] = {}
    for scope, count in counts.items():
        whose, inner = split(scope)
        if whose in ("", account):
            found[inner] = found.get(inner, 0) + count
    return found
