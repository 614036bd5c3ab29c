"""Options about the peers of the consensus network, named as Nimbus names them.

Only click here: what they mean is in ``peering``, which is imported when peers are wanted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import click

from lightclient_cli.parameters import decimal_up_to

WHOLE_NUMBERS: Final = frozenset({"tcp_port", "udp_port", "max_peers", "hard_max_peers"})
_MOST_PEERS: Final = 1000


def _port(name: str, text: str) -> Callable[[Any], Any]:
    return click.option(
        name,
        default="9000",
        show_default=True,
        callback=decimal_up_to(65535),
        metavar="PORT",
        help=text,
    )


PEER_OPTIONS: Final[tuple[Callable[[Any], Any], ...]] = (
    click.option(
        "--direct-peer",
        multiple=True,
        metavar="MULTIADDR",
        help="Peer to stay connected to: /ip4/../tcp/../p2p/..; repeat for more.",
    ),
    click.option(
        "--bootstrap-node",
        multiple=True,
        metavar="ENR",
        help="Node to ask for peers first, besides the network's own; repeat for more.",
    ),
    click.option("--bootstrap-file", metavar="FILE", help="File with such records, one a line."),
    click.option(
        "--discv5/--no-discv5",
        default=None,
        help="Look for peers (discovery v5).  [default: on without --rest-url]",
    ),
    _port("--tcp-port", "Port to listen at for peers; 0 for any."),
    _port("--udp-port", "Port for discovery; 0 for any."),
    click.option(
        "--listen-address",
        default="0.0.0.0",  # noqa: S104 - a node of a network is to be reached
        show_default=True,
        metavar="ADDRESS",
        help="Address of this machine to listen at.",
    ),
    click.option(
        "--nat",
        metavar="extip:IP",
        help="Address to tell peers; 'none' tells none.  [default: the one that several see]",
    ),
    click.option(
        "--max-peers",
        default="12",
        show_default=True,
        callback=decimal_up_to(_MOST_PEERS),
        metavar="N",
        help="Peers to look for.",
    ),
    click.option(
        "--hard-max-peers",
        callback=decimal_up_to(_MOST_PEERS),
        metavar="N",
        help="Peers to have at most.  [default: half as many more]",
    ),
    click.option("--agent-string", metavar="TEXT", help="What to call ourselves to peers."),
    click.option(
        "--ephemeral-identity",
        is_flag=True,
        help="Be somebody else to peers at each start, also with --data-dir.",
    ),
)
