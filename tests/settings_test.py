"""Settings for the suite; pytest-django reads them before any conftest runs.

Files go to a folder of their own, so that tests never touch an installation in ``var/``.
"""

import atexit
import os
import shutil
import tempfile

_folder = tempfile.mkdtemp(prefix="tp-test-")
_maker = os.getpid()


def _remove_folder() -> None:
    """Leave it to who made it: a fork that ends still has its parent using it."""
    if os.getpid() == _maker:
        shutil.rmtree(_folder, ignore_errors=True)


atexit.register(_remove_folder)
os.mkdir(os.path.join(_folder, "static"))
os.environ["TRADEPLATFORM_ENV"] = "test"
os.environ["TRADEPLATFORM_VAR"] = _folder
# an operator's own config.yaml must not change what the tests see
os.environ["TRADEPLATFORM_CONFIG"] = os.path.join(_folder, "config.yaml")
open(os.environ["TRADEPLATFORM_CONFIG"], "w").close()
os.environ.pop("REDIS_URL", None)
for _name in ("TRADEPLATFORM_PRACTICE_URL", "TRADEPLATFORM_LIVE_ARMED", "DEBUG"):
    os.environ.pop(_name, None)
os.environ.setdefault("LOG_LEVEL", "WARNING")

from tradeplatform.settings import *  # noqa: E402, F403
from tradeplatform.settings import DATABASES, STORAGES  # noqa: E402

# The real engine with its real pragmas, in a file: memory databases lock differently.
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    DATABASES["default"]["TEST"] = {"NAME": os.path.join(_folder, "test.sqlite3")}
# A manifest would need collectstatic before the first page test.
STORAGES = STORAGES | {
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
}
PASSWORD_HASHERS = ["tests.hashing.QuickArgon2"]
# No lease runs out because a machine is slow; tests of leases say their own seconds.
LEASE_SECONDS = 600
