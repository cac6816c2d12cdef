"""Training and trials of models. Beat only knocks: what is due is read from rows."""

from __future__ import annotations

from celery import shared_task

from strategies.lifecycle import trials_judge
from strategies.scores import scores_prune
from strategies.training import training_run


@shared_task(acks_late=False, ignore_result=True, soft_time_limit=70, time_limit=75)
def train_due() -> str:
    """Do one training that waits; losing or repeating a knock is free."""
    return training_run()


@shared_task(acks_late=False, ignore_result=True, soft_time_limit=50, time_limit=60)
def trials_due() -> int:
    """Look at the trials that go on; return how many moves were made."""
    return len(trials_judge())


@shared_task(acks_late=False, ignore_result=True, soft_time_limit=50, time_limit=60)
def scores_due() -> int:
    """Keep the stored scores within their bounds."""
    return scores_prune()
