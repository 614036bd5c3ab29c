"""``nimbus-light-client demo --chaos SEED``: five providers of which up to four misbehave.

The client is the real one over real HTTP. It has to reach the true head of the simulated chain and
must never show a header that is not of it; whoever watches is told what each provider did.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import anyio

from lightclient.client import LightClient, SyncState
from lightclient.errors import LightClientError
from lightclient.sync import VerifiedHeader
from lightclient.transports.rest import RestTransport

if TYPE_CHECKING:
    from lightclient.simulator import SimulatedChain
    from lightclient.simulator.chaos import Part, Witness
    from lightclient.simulator.habits import ServerHabits

SLOT_MS = 250
LIVE_SECONDS = 20.0
"""For so long providers change what they do."""
_DEADLINE_SECONDS = 48.0
_LOOK_SECONDS = 0.25
_REQUEST_SECONDS = 3.0
# The block in course, the one that it signs, one that is on its way, and one for a busy machine.
_SLOTS_BEHIND = 4

Say = Callable[[str], None]


@dataclass(slots=True)
class _Provider:
    """One provider of the demo: its part, its server and its name as the client has it."""

    part: Part
    habits: ServerHabits
    name: str = ""


@dataclass(slots=True)
class Chaos:
    """One run.

    Args:
        seed: decides who misbehaves, how and when.
        chain: grows with the clock while this runs.
        say: prints a line.
        display: what shows the client's status meanwhile.

    Attributes:
        error: why the client gave up, if it did.
    """

    seed: int
    chain: SimulatedChain
    say: Say
    display: Callable[[LightClient], AbstractContextManager[object]]
    live_seconds: float = LIVE_SECONDS
    error: LightClientError | None = None
    _providers: list[_Provider] = field(default_factory=list)
    _state: SyncState = SyncState.BOOTSTRAPPING
    _behind: int | None = None

    async def run(self, trusted_block_root: bytes) -> bool:
        """Play; whether the client held."""
        from lightclient.simulator.chaos import Witness, cast_from_seed
        from lightclient.simulator.faults import FaultSet
        from lightclient.simulator.habits import ServerHabits
        from lightclient.simulator.server import grow, serve

        cast = cast_from_seed(self.seed, seconds=self.live_seconds)
        self._providers = [_Provider(part, ServerHabits(faults=FaultSet())) for part in cast]
        self._announce()
        witness = Witness(self.chain)
        async with AsyncExitStack() as servers:
            for provider in self._providers:
                url = await servers.enter_async_context(serve(self.chain, provider.habits))
                provider.name = url
            client = self._client(witness, trusted_block_root)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(grow, self.chain)
                for provider in self._providers:
                    tasks.start_soon(provider.part.play, provider.habits.faults)
                await self._watch(client, witness)
                tasks.cancel_scope.cancel()
        self._report(client, witness)
        return self.holds(witness)

    def note(self, state: SyncState, slots_behind: int | None) -> None:
        """Where the client stands now."""
        self._state, self._behind = state, slots_behind

    def show(self, witness: Witness, header: VerifiedHeader) -> None:
        """A header that the client shows; a false one is told at once."""
        if not witness.see(header):
            self.say(f"FALSE: slot {header.slot} 0x{header.root.hex()} is not of the chain")

    def holds(self, witness: Witness) -> bool:
        """Whether the client is at the true head and showed nothing false."""
        is_at_head = self._behind is not None and self._behind <= _SLOTS_BEHIND
        return is_at_head and self._state is SyncState.SYNCED and not witness.false_headers

    def _client(self, witness: Witness, trusted_block_root: bytes) -> LightClient:
        from httpx import AsyncHTTPTransport

        transports = []
        # In the order in which they are asked at first: the client is to meet the worst.
        for provider in sorted(self._providers, key=lambda provider: provider.part.is_honest):
            # Past any proxy: the way leads nowhere but to this machine.
            direct = AsyncHTTPTransport(trust_env=False)
            transport = RestTransport(
                provider.name, timeout=_REQUEST_SECONDS, http_transport=direct
            )
            provider.name = transport.name
            transports.append(transport)

        def show(header: VerifiedHeader) -> None:
            self.show(witness, header)

        def show_finalized(header: VerifiedHeader) -> None:
            show(header)
            if client.status.state is SyncState.SYNCED:
                self.say(f"finalized  slot {header.slot:>5}  0x{header.root.hex()[:8]}")

        client = LightClient(
            network=self.chain.network,
            trusted_block_root=trusted_block_root,
            transports=transports,
            allow_stale_trusted_root=True,
            on_finalized_header=show_finalized,
            on_optimistic_header=show,
        )
        return client

    async def _watch(self, client: LightClient, witness: Witness) -> None:
        """Until all acts are played and the client is at the head, or it took too long."""
        started = time.perf_counter()
        async with client:
            with self.display(client), anyio.move_on_after(_DEADLINE_SECONDS):
                try:
                    await client.wait_until_synced()
                    self.say(f"Synced after {time.perf_counter() - started:.1f} seconds.")
                    left = self.live_seconds - (time.perf_counter() - started)
                    await anyio.sleep(max(left, 0))
                    while not self._look(client, witness):  # noqa: ASYNC110 - heads come and go
                        await anyio.sleep(_LOOK_SECONDS)
                except LightClientError as error:
                    self.error = error
            self._look(client, witness)

    def _look(self, client: LightClient, witness: Witness) -> bool:
        """Note where the client stands; whether that is the true head."""
        for header in (client.finalized_header(), client.optimistic_header()):
            witness.see(header)
        self.note(client.status.state, witness.slots_behind(client.optimistic_header()))
        return self.holds(witness)

    # Telling ------------------------------------------------------------------------------------

    def _announce(self) -> None:
        honest = sum(provider.part.is_honest for provider in self._providers)
        self.say(f"Chaos with seed {self.seed}: {honest} of {len(self._providers)} are honest.\n")
        for provider in self._providers:
            part = provider.part
            self.say(part.name + (": honest" if part.is_honest else ": not honest"))
            for act in part.acts:
                self.say(f"  from {act}")
        self.say("")

    def _report(self, client: LightClient, witness: Witness) -> None:
        by_name = {provider.name: provider for provider in client.providers}
        for provider in self._providers:
            injected = provider.habits.faults.injected
            requests: Counter[str] = Counter()
            for (name, _, result), count in client.measures.requests.items():
                if name == provider.name:
                    requests[result] += count
            seen = by_name[provider.name]
            self.say(f"\n{provider.part.name} ({provider.name})")
            self.say(f"  faults: {_counted(injected) or 'none'}")
            self.say(f"  requests: {_counted(requests) or 'none'}")
            self.say(f"  objects: {_counted(Counter(seen.verdicts)) or 'none'}")
            self.say(f"  score: {seen.score.value}")
            if seen.last_error is not None:
                self.say(f"  last failure: {seen.last_error}")
        behind = "no head" if self._behind is None else f"{self._behind} slots behind the true head"
        self.say(f"\nState: {self._state.value}, {behind}")
        self.say(f"Headers shown: {witness.shown}, false ones: {len(witness.false_headers)}")
        if self.error is not None:
            self.say(f"The client gave up: {self.error}")
        self.say("The client held." if self.holds(witness) else "The client did not hold.")


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
