"""The Celery application. Tasks live in each room's ``tasks.py``; Redis is only a doorbell."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tradeplatform.settings")

app = Celery("tradeplatform")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
