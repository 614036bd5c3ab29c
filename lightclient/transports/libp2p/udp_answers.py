"""Of each node that we asked, a socket of its own at our port, so that a flood drowns no answer.

A full receive buffer loses what comes next, whoever sent it, and anyone can fill one. The kernel
sorts datagrams by sender before they reach a buffer if a connected socket asks for it: answers
have theirs, and what strangers send fills only the main one. Linux sorts like that between sockets
that share a port (SO_REUSEPORT); elsewhere there is but one socket, and a flood costs answers.
"""

from __future__ import annotations

import select
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from lightclient.wire.enr import Address

MAX_ANSWER_SOCKETS: Final = 32
"""Descriptors, and buffers in the kernel, are not to be had without end."""


class AnswerSockets:
    """The sockets for answers beside a bound one. They are read only, never sent from.

    Args:
        main: bound already, and without SO_REUSEPORT: another program's bind must have failed.
    """

    def __init__(self, main: socket.socket) -> None:
        self._main = main
        self._sockets: dict[Address, socket.socket] = {}
        self._epoll: select.epoll | None = None
        if sys.platform == "linux":
            with suppress(OSError):
                main.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                epoll = select.epoll()
                epoll.register(main, select.EPOLLIN)
                self._epoll = epoll

    def __len__(self) -> int:
        return len(self._sockets)

    @property
    def readable(self) -> select.epoll | socket.socket:
        """What to wait for: readable when any of them is, the main one included."""
        return self._main if self._epoll is None else self._epoll

    @property
    def all(self) -> list[socket.socket]:
        """They, without the main one."""
        return list(self._sockets.values())

    def open(self, address: Address, peer: tuple[str, int]) -> None:
        """Have one for ``address``, if it can be; ``peer`` is how the main one's family says it."""
        if self._epoll is None or address in self._sockets:
            return
        if len(self._sockets) >= MAX_ANSWER_SOCKETS:
            return
        with suppress(OSError, OverflowError):
            self._sockets[address] = self._connected(peer)

    def _connected(self, peer: tuple[str, int]) -> socket.socket:
        opened = socket.socket(self._main.family, socket.SOCK_DGRAM)
        try:
            opened.setblocking(False)
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if self._main.family == socket.AF_INET6:
                only = self._main.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
                opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only)
            opened.bind(self._main.getsockname()[:2])
            opened.connect(peer)
            assert self._epoll is not None
            self._epoll.register(opened, select.EPOLLIN)
        except BaseException:
            opened.close()
            raise
        return opened

    def close_unless(self, is_expected: Callable[[Address], bool]) -> None:
        """Close those of addresses from which nothing is expected any more."""
        for address in [one for one in self._sockets if not is_expected(one)]:
            # The kernel takes a closed one out of what is waited for.
            self._sockets.pop(address).close()

    def close(self) -> None:
        """Close all of them, but not the main one."""
        self.close_unless(lambda _: False)
        if self._epoll is not None:
            self._epoll.close()
