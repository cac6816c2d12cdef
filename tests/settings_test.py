"""Settings for the suite; pytest-django reads them before any conftest runs."""

from tradeplatform.settings import *  # noqa: F403
