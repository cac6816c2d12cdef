"""Memory: collect garbage and hand free pages back, empty caches, trim buffers (ORC-32 to -34)."""

from __future__ import annotations

from django.conf import settings
from redis import Redis, RedisError

from resources.actions.base import Bounds, Context, Outcome, Parameters, Plain, number
from resources.core.readings import key_of
from resources.errors import ActionFailed

# Pools by name, and the queue that reaches them.
QUEUE_OF = {"trading": "trading", "general": "io"}
STREAM = "tp:stream:log"
_ROUNDS_KEPT = 240


def process_to_relieve(context: Context) -> str | None:
    """Return the larger worker; the trading worker is left alone while an order is in flight.

    A rule about one worker's memory is about that worker and no other.
    """
    last = context.rounds.last
    wanted = context.rule.removeprefix("rss-")
    names = [wanted] if wanted in QUEUE_OF else list(QUEUE_OF)
    sizes = {n: last.get(key_of(f"process:{n}", "rss")) if last else None for n in names}
    if context.orders_in_flight:
        sizes.pop("trading", None)
    return max((n for n in sizes if sizes[n]), key=lambda n: sizes[n] or 0.0, default=None)


class CollectGarbage(Plain):
    code = "collect-garbage"
    about = "collects garbage in a worker and hands freed pages back to the system"

    def parameters(self, context: Context) -> Parameters | None:
        process = process_to_relieve(context)
        return None if process is None else {"process": process}

    def apply(self, context: Context, parameters: Parameters, action_id: int) -> Outcome:
        queue = QUEUE_OF[str(parameters["process"])]
        context.workers.send("resources.tasks.relieve_memory", queue, {"action_id": action_id})
        return Outcome(is_sent=True)


class ClearCaches(Plain):
    code = "clear-caches"
    about = "empties the registered caches of a worker; they fill again when they are needed"

    def parameters(self, context: Context) -> Parameters | None:
        process = process_to_relieve(context)
        return None if process is None else {"process": process}

    def apply(self, context: Context, parameters: Parameters, action_id: int) -> Outcome:
        queue = QUEUE_OF[str(parameters["process"])]
        context.workers.send("resources.tasks.clear_caches", queue, {"action_id": action_id})
        return Outcome(is_sent=True)


class TrimBuffers(Plain):
    """The stream is a log of frames for screens that were away, never a source of truth (D-35)."""

    code = "trim-buffers"
    about = "shortens the stream of frames and the sampler's window to their bounds"
    bounds = {"frames": Bounds(100, 2_000, "frames")}

    def __init__(self, client: Redis | None = None) -> None:
        self._client = client

    def parameters(self, context: Context) -> Parameters | None:
        return {"frames": int(self.bounds["frames"].clamp(context.config.stream_frames))}

    def apply(self, context: Context, parameters: Parameters, action_id: int) -> Outcome:
        redis = self._client or Redis.from_url(settings.REDIS_URL, socket_timeout=1.0)
        try:
            before = _stream(redis)
            redis.xtrim(STREAM, maxlen=int(number(parameters, "frames")), approximate=False)
            after = _stream(redis)
        except RedisError as error:
            raise ActionFailed(f"the stream was not trimmed: {error}") from error
        rounds = len(context.rounds)
        dropped = context.rounds.trim(_ROUNDS_KEPT)
        return Outcome(
            before=before | {"rounds": rounds},
            after=after | {"rounds": rounds - dropped},
            saved={"bytes": max(before["bytes"] - after["bytes"], 0.0)},
            side_effects=("a screen that was away for long gets a snapshot instead of frames",),
        )


def _stream(redis: Redis) -> dict[str, float]:
    length = redis.xlen(STREAM)
    used = redis.memory_usage(STREAM, samples=0) if length else 0
    return {"frames": float(length), "bytes": float(used or 0)}
