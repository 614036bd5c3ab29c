"""One request of one provider: made, timed, and whatever it leads to caught.

What comes back is unverified; ``judging`` decides about it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import anyio

from lightclient.client.providers import Provider, Request, RequestObserver
from lightclient.containers import LightClientObject
from lightclient.errors import (
    DecodeError,
    MalformedAnswer,
    ProviderUnavailable,
    TransportError,
)
from lightclient.sync import (
    FetchBootstrap,
    FetchFinalityUpdate,
    FetchOptimisticUpdate,
    FetchUpdates,
    Processor,
    Task,
    usable_updates,
)
from lightclient.transports.base import Transport

LONGEST_REQUEST_SECONDS: Final = 300.0
"""Transports have deadlines of their own; this one is for those that have none."""

_KINDS: Final[dict[type, str]] = {
    FetchBootstrap: "bootstrap",
    FetchUpdates: "updates",
    FetchFinalityUpdate: "finality_update",
    FetchOptimisticUpdate: "optimistic_update",
}


@dataclass(slots=True)
class Answer:
    """What a request brought.

    Attributes:
        error: why it brought nothing, or not all.
        fault: what should not have happened, for whoever waits for the answer.
        seconds: how long it took to come.
    """

    values: Sequence[LightClientObject] = ()
    error: TransportError | None = None
    fault: Exception | None = None
    seconds: float = 0.0


async def ask(
    provider: Provider, task: Task, processor: Processor, observers: Sequence[RequestObserver]
) -> Answer:
    """Make a request; ``observers`` are told how it ended, also if it is cancelled."""
    start = anyio.current_time()
    answer: Answer | None = None
    try:
        answer = await _answer(provider, task, processor)
        answer.seconds = anyio.current_time() - start
    finally:
        seconds = anyio.current_time() - start
        error = None if answer is None else answer.error
        request = Request(provider, _KINDS[type(task)], seconds, error, answer is None)
        for observe in observers:
            observe(request)
    return answer


async def _answer(provider: Provider, task: Task, processor: Processor) -> Answer:
    try:
        with anyio.fail_after(LONGEST_REQUEST_SECONDS):
            values, error = await _values(provider.transport, task, processor)
    except TransportError as failed:
        return Answer(error=failed)
    except DecodeError as failed:
        return Answer(error=MalformedAnswer(str(failed), provider=provider.name))
    except TimeoutError:
        said = f"{provider.name}: no answer within {LONGEST_REQUEST_SECONDS:g} s"
        return Answer(error=ProviderUnavailable(said, provider=provider.name))
    except Exception as fault:  # noqa: BLE001 - raised again by whoever waits for the answer
        return Answer(fault=fault)
    return Answer(values, error)


async def _values(
    transport: Transport, task: Task, processor: Processor
) -> tuple[Sequence[LightClientObject], TransportError | None]:
    match task:
        case FetchBootstrap():
            root = processor.trusted_block_root
            assert root is not None  # without one, the embedder resets the store first
            return [await transport.get_light_client_bootstrap(root)], None
        case FetchUpdates(start_period, count):
            answer = await transport.get_light_client_updates_by_range(start_period, count)
            return usable_updates(answer.updates, task, processor.network), answer.error
        case FetchFinalityUpdate():
            return [await transport.get_light_client_finality_update()], None
        case FetchOptimisticUpdate():
            return [await transport.get_light_client_optimistic_update()], None
