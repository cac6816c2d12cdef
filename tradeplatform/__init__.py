"""The top floor: wires the rooms together and decides nothing."""

from tradeplatform.celery import app as celery_app

__all__ = ("celery_app",)
