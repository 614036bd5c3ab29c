"""What a server of the network has to serve: some updates, and their network."""

from __future__ import annotations

from lightclient.containers import encode_ssz
from tests.client.world import make_chain
from tests.transports.objects import make_update

NETWORK = make_chain().network
DIGEST = NETWORK.compute_fork_digest(0)
UPDATES = [encode_ssz(make_update(NETWORK, period)) for period in range(4)]
