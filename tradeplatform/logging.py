"""Log lines: one outcome a line, secrets removed, control characters escaped (SEC-32)."""

from __future__ import annotations

import logging
import re
import time

_SECRETS = re.compile(
    r"(?i)\b(api[_-]?key|secret|password|passwd|authorization|signature|token|cookie|x-mbx-apikey)"
    r"(\"?'?\s*[=:]\s*\"?'?)(bearer\s+)?[^\s&,;\"']+"
)


def redact(message: str) -> str:
    """Return ``message`` with secret values replaced and line breaks escaped."""
    return _SECRETS.sub(r"\1\2[removed]", message).replace("\r", "\\r").replace("\n", "\\n")


class RedactingFormatter(logging.Formatter):
    """Formats in UTC; a stack trace keeps its lines, the message may not forge new ones."""

    converter = time.gmtime  # type: ignore[assignment]

    def format(self, record: logging.LogRecord) -> str:
        record = logging.makeLogRecord(record.__dict__)
        record.msg, record.args = redact(record.getMessage()), None
        return super().format(record)

    def formatException(self, ei: object) -> str:
        return _SECRETS.sub(r"\1\2[removed]", super().formatException(ei))  # type: ignore[arg-type]
