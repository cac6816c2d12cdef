"""Errors of this room, and the one base that every API answers with a problem document."""


class Refused(Exception):
    """Something that was asked for and is not allowed; the message has the numbers and "was"."""

    status = 409
    reason_code = "refused"

    def __init__(self, message: str, *, reason_code: str = "") -> None:
        super().__init__(message)
        if reason_code:
            self.reason_code = reason_code


class AuditRefused(Exception):
    """An audit event may only be added, inside the transaction of the act it tells of."""


class LoginLinkRefused(Refused):
    """A one-time link that was unknown, used or too old, or a password that is too weak."""

    status = 400
    reason_code = "login_link_refused"


class TokenRefused(Refused):
    """A token that may not be made as asked."""

    status = 400
    reason_code = "token_refused"


class PreferenceRefused(Refused):
    """A way to show pages that there is not."""

    status = 400
    reason_code = "preference_refused"


class SettingsRefused(Refused):
    """Settings that are not changed as asked: a bad value, no reason, or somebody was faster."""

    status = 400
    reason_code = "settings_refused"


class SecondFactorRefused(Refused):
    """A second login step that is not changed as asked."""

    status = 400
    reason_code = "second_factor_refused"


class UserRefused(Refused):
    """A change of a person's access that is not made as asked."""

    status = 400
    reason_code = "user_refused"


class ExchangeKeyRefused(Refused):
    """An exchange key that is not kept or opened as asked; the message holds none of it."""

    status = 400
    reason_code = "exchange_key_refused"


class OutboundRefused(Refused):
    """An address the platform does not post to."""

    status = 400
    reason_code = "outbound_refused"


class AmountRefused(Refused):
    """A number of money or coins that cannot be one."""

    status = 400
    reason_code = "amount_refused"
