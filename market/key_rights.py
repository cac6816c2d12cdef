"""What a key may do, read from each venue's own answer about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Rights:
    """What a key may do, by the venue's own word. ``account_id`` is the venue's name of the account
    behind it, empty where this answer has none."""

    may_read: bool
    may_trade: bool
    may_withdraw: bool
    is_bound_to_addresses: bool
    account_id: str = ""


def _truth(value: object) -> bool:
    return value is True or str(value).lower() in ("true", "1")


def binance_rights(answer: Any) -> Rights:
    return Rights(
        may_read=_truth(answer.get("enableReading")),
        may_trade=_truth(answer.get("enableSpotAndMarginTrading")),
        may_withdraw=_truth(answer.get("enableWithdrawals")),
        is_bound_to_addresses=_truth(answer.get("ipRestrict")),
    )


def bybit_rights(answer: Any) -> Rights:
    result = answer["result"]
    granted = result.get("permissions") or {}
    addresses = [ip for ip in result.get("ips") or [] if ip not in ("", "*")]
    return Rights(
        may_read=True,
        may_trade="SpotTrade" in granted.get("Spot", []) and not _truth(result.get("readOnly")),
        may_withdraw="Withdraw" in granted.get("Wallet", []),
        is_bound_to_addresses=bool(addresses),
        account_id=str(result.get("userID") or ""),
    )


def okx_rights(answer: Any) -> Rights:
    account = answer["data"][0]
    granted = {right.strip() for right in str(account.get("perm", "")).split(",")}
    return Rights(
        may_read="read_only" in granted,
        may_trade="trade" in granted,
        may_withdraw="withdraw" in granted,
        is_bound_to_addresses=bool(account.get("ip")),
        account_id=str(account.get("uid") or ""),
    )


def kraken_rights(answer: Any) -> Rights:
    result = answer["result"]
    granted = set(result.get("permissions") or [])
    return Rights(
        may_read={"query-funds", "query-open-trades", "query-closed-trades"} <= granted,
        may_trade={"modify-trades", "close-trades"} <= granted,
        may_withdraw=bool(granted & {"withdraw-funds", "add-withdraw-address"}),
        is_bound_to_addresses=bool(result.get("ip_allowlist") or result.get("ip_whitelist")),
    )
