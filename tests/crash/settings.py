"""Settings of the platform under the crash harness: the real ones, with a shorter lease and more
knocks.

A killed holder's lease must run out before another worker takes over; with the shipped 15 s a
run of many kills would mostly wait. Everything else is what operators run.
"""

import os

from tradeplatform.settings import *  # noqa: F403

LEASE_SECONDS = float(os.environ.get("TEST_LEASE_SECONDS", "0.6"))
TRADING_SESSION_FACTORY = "tests.crash.scripted.running_session"
CELERY_BEAT_SCHEDULER = "tests.crash.knocking:QuickBeat"
