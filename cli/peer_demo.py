"""``nimbus-light-client demo --transport libp2p``: the main job among peers, most of them hostile.

A boot node and some peers of the simulated chain are on loopback, with real noise, multiplexers,
gossip and discovery. The client, which knows the boot node and a
trusted block root, has to find them, reach the true head, cross every fork and part from whoever
misbehaves; whoever watches is told what each peer did and what became of it.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

import anyio

from lightclient.client import LightClient, SyncState
from lightclient.errors import ConfigError, LightClientError
from lightclient.sync import VerifiedHeader
from lightclient_cli.demo import DemoRecord, describe_header, summary_of

if TYPE_CHECKING:
    from lightclient.simulator import SimulatedChain
    from lightclient.simulator.chaos import Witness
    from lightclient.simulator.libp2p.network import SimulatedNetwork
    from lightclient.simulator.libp2p.peer import SimulatedPeer

SLOT_MS: Final = 400
"""Long enough that a peer is left for longer than it takes to notice."""
DEADLINE_SECONDS: Final = 28.0
_LATE_SLOTS: Final = 12
"""After so many slots honest peers come, even if hostile ones are still believed."""
_LOOK_SECONDS: Final = 0.1
_LIVE_SHARE: Final = 0.6
"""Of the time for which the other demo follows the head: to find peers takes some, too."""
# The block in course, the one that it signs, one that is on its way, and one for a busy machine.
_SLOTS_BEHIND: Final = 4

Say = Callable[[str], None]


def require_extra() -> None:
    """Raise ConfigError where the extra is not installed."""
    if any(find_spec(name) is None for name in ("libp2p", "trio")):
        raise ConfigError(
            "the demo over libp2p needs py-libp2p: install the extra lightclient[libp2p] (README"
            " names the system packages that it is built with), or leave --transport libp2p out"
        )


@dataclass(slots=True)
class PeerDemo:
    """One run.

    Args:
        chain: grows with the clock while this runs.
        seed: decides what the hostile peers do.
        say: prints a line.
        display: what shows the client's status meanwhile.
        live_seconds: for somewhat less than that the head is followed.
        started: when the demo began, by ``time.perf_counter``.
    """

    chain: SimulatedChain
    seed: int
    say: Say
    display: Callable[[LightClient], AbstractContextManager[object]]
    live_seconds: float
    started: float
    record: DemoRecord = field(init=False)
    state: SyncState = SyncState.BOOTSTRAPPING
    slots_behind: int | None = None
    error: LightClientError | None = None
    _partings: Counter[tuple[str, str]] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.record = DemoRecord(self.chain.network)

    async def run(self, trusted_block_root: bytes, scope: anyio.CancelScope) -> bool:
        """Play; whether the client held. What is in ``scope`` ends before the peers do."""
        from lightclient.simulator.chaos import Witness
        from lightclient.simulator.libp2p.network import cast_of_peers, peers_of

        witness = Witness(self.chain)
        cast = cast_of_peers(self.chain, self.seed)
        async with peers_of(cast, live=True, late_after_slots=_LATE_SLOTS) as network:
            with scope:
                self._announce(network)
                client = self._client(network, witness, trusted_block_root)
                self.record.watch(client)
                await self._watch(client, network, witness)
                self._report(network, witness)
                return not self.faults(network, witness)
        return False

    def _client(
        self, network: SimulatedNetwork, witness: Witness, trusted_block_root: bytes
    ) -> LightClient:
        from lightclient.simulator.libp2p.peer import LISTEN_ADDRESS
        from lightclient.transports.libp2p.options import DiscoveryOptions, Libp2pOptions
        from lightclient.transports.libp2p.pool import Libp2pPool

        options = Libp2pOptions(
            secret=os.urandom(32),
            listen_address=LISTEN_ADDRESS,
            tcp_port=0,
            discovery=DiscoveryOptions(udp_port=0, bootstrap_nodes=(network.boot_node,)),
        )

        def show_finalized(header: VerifiedHeader) -> None:
            self.record.finalized.append(header)
            self.show(witness, "finalized", header)

        def show_head(header: VerifiedHeader) -> None:
            self.record.heads += 1
            self.show(witness, "head", header)

        return LightClient(
            network=self.chain.network,
            trusted_block_root=trusted_block_root,
            pools=[Libp2pPool(options)],
            allow_stale_trusted_root=True,
            on_finalized_header=show_finalized,
            on_optimistic_header=show_head,
        )

    def show(self, witness: Witness, what: str, header: VerifiedHeader) -> None:
        """Print a header; a false one is told at once."""
        self.say(describe_header(what, self.chain.network, header))
        if not witness.see(header):
            self.say(f"FALSE: slot {header.slot} 0x{header.root.hex()} is not of the chain")

    async def _watch(
        self, client: LightClient, network: SimulatedNetwork, witness: Witness
    ) -> None:
        """Until everything that is to be seen was seen, or it took too long."""
        left = DEADLINE_SECONDS - (time.perf_counter() - self.started)
        ends = float("inf")
        async with client:
            with self.display(client), anyio.move_on_after(left):
                try:
                    while not self._look(client, network, witness) or time.perf_counter() < ends:
                        if self.state is SyncState.SYNCED:
                            ends = min(ends, time.perf_counter() + _LIVE_SHARE * self.live_seconds)
                        with anyio.move_on_after(_LOOK_SECONDS):
                            await client.run()
                except LightClientError as error:
                    self.error = error
            self._look(client, network, witness)

    def _look(self, client: LightClient, network: SimulatedNetwork, witness: Witness) -> bool:
        """Note where client and peers stand; whether that is as it should be."""
        for header in (client.finalized_header(), client.optimistic_header()):
            witness.see(header)
        self.state = client.status.state
        self.slots_behind = witness.slots_behind(client.optimistic_header())
        for peer in network.peers:
            for reason, count in peer.tally.goodbyes.items():
                if count > self._partings[peer.name, reason]:
                    self._partings[peer.name, reason] = count
                    self.say(f"{'left':<10} {peer.name} ({peer.role.name}): {_words(reason)}")
        return not self.faults(network, witness)

    def faults(self, network: SimulatedNetwork, witness: Witness) -> list[str]:
        """What is not as it should be; nothing if the client held."""
        found = [f"fork {name} was not reached" for name in self.record.missing_forks]
        if self.state is not SyncState.SYNCED:
            found.append(f"the client is {self.state.value}")
        elif self.slots_behind is None or self.slots_behind > _SLOTS_BEHIND:
            found.append("the client is not at the true head")
        if witness.false_headers:
            found.append(f"{len(witness.false_headers)} false headers were shown")
        for peer in network.peers:
            found += _faults_with(peer)
        return found

    # Telling ------------------------------------------------------------------------------------

    def _announce(self, network: SimulatedNetwork) -> None:
        honest = sum(peer.role.is_honest for peer in network.peers)
        self.say(
            f"{len(network.peers)} peers are on loopback, of which {honest} are honest (seed"
            f" {self.seed}); the client knows none of them, only a node that knows them:\n"
            f"{network.boot_node.text}\n"
        )
        for peer in network.peers:
            self.say(f"{peer.name} ({peer.role.name}; {_muxers(peer)}) {peer.role.says}")
        self.say("")

    def _report(self, network: SimulatedNetwork, witness: Witness) -> None:
        for peer in network.peers:
            tally = peer.tally
            self.say(f"\n{peer.name} ({peer.role.name}; libp2p:{peer.peer_id[-12:]})")
            self.say(f"  did: {_counted(peer.faults.injected) or 'nothing wrong'}")
            self.say(f"  was asked: {_counted(peer.responder.requests) or 'nothing'}")
            told = f"{tally.told_true} true, {tally.told_false} false"
            self.say(f"  was told by gossip what it had not said itself: {told}")
            left = _words(_counted(tally.goodbyes)) or "never"
            now = "connected" if tally.connected else "not connected"
            self.say(f"  was met: {tally.met} times; was left: {left}; in the end: {now}")
        seconds = time.perf_counter() - self.started
        self.say(summary_of(self.record, self.state, self.chain.backend.name, seconds))
        self.say(f"Headers shown: {witness.shown}, false ones: {len(witness.false_headers)}")
        if self.error is not None:
            self.say(f"The client gave up: {self.error}")
        faults = self.faults(network, witness)
        self.say("The client held." if not faults else f"The client failed: {'; '.join(faults)}.")


def _faults_with(peer: SimulatedPeer) -> list[str]:
    """What is wrong with how the client treated a peer."""
    tally, ends = peer.tally, {reason.name.lower() for reason in peer.role.ends}
    found = []
    if not tally.met:
        found.append(f"{peer.name} was not found")
    elif ends and not ends & tally.goodbyes.keys():
        found.append(f"{peer.name} ({peer.role.name}) was not left")
    if peer.role.is_honest and "bad_score" in tally.goodbyes:
        found.append(f"{peer.name}, which is honest, was left for its score")
    if tally.told_false:
        found.append(f"{peer.name} was told what is false")
    return found


def _muxers(peer: SimulatedPeer) -> str:
    return ", ".join(muxer.split("/")[1] for muxer in peer.muxers)


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))


def _words(name: str) -> str:
    return name.replace("_", " ")
