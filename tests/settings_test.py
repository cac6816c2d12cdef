"""Settings for the suite; pytest-django reads them before any conftest runs."""

from tradeplatform.settings import *  # noqa: F403
from tradeplatform.settings import DATABASES, VAR_DIR

if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    # a file: SQLite in memory answers "table is locked" at once where two threads write
    DATABASES["default"]["TEST"] = {"NAME": VAR_DIR / "test.sqlite3"}
