"""The small HTTP server behind ``--metrics``.

It has a thread of its own, so that it answers even when the client does not run any more. It reads
and never changes anything. Bounded: a few requests at a time, each with a deadline.
"""

from __future__ import annotations

import errno
import socket
import threading
import time
from contextlib import AbstractContextManager, suppress
from socketserver import ThreadingMixIn
from types import TracebackType
from typing import Any, Final, Self
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from lightclient.client import LightClient
from lightclient.client.metrics import register_client, require_library, wsgi_app
from lightclient.errors import ListenError

MAX_REQUESTS_AT_ONCE: Final = 16
REQUEST_SECONDS: Final = 10.0


class MetricsServer(AbstractContextManager["MetricsServer"]):
    """Serves ``/metrics``, ``/health`` and ``/ready`` of ``client`` while it is entered.

    Args:
        port: 0 for any free one, then told by :attr:`port`.

    Raises:
        ConfigError: prometheus-client is missing.
        ListenError: on entering: the address cannot be used.
    """

    def __init__(self, client: LightClient, address: str, port: int) -> None:
        self.port = port
        self._address = address
        library = require_library()
        registry = library.CollectorRegistry()
        for collector in (
            library.ProcessCollector,
            library.PlatformCollector,
            library.GCCollector,
        ):
            collector(registry=registry)
        register_client(client, registry)
        self._app = wsgi_app(client, registry)
        self._server: _Server | None = None

    def __enter__(self) -> Self:
        try:
            self._server = _server(self._address, self.port)
        except (OSError, UnicodeError, OverflowError) as error:
            raise ListenError(self._why_not(error)) from None
        self._server.set_app(self._app)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def _why_not(self, error: Exception) -> str:
        where = f"--metrics-address {self._address} --metrics-port {self.port}"
        number = error.errno if isinstance(error, OSError) else None
        if number == errno.EADDRINUSE:
            return f"{where}: in use by another program; choose another port"
        if number in (errno.EACCES, errno.EPERM):
            return f"{where}: not permitted (ports below 1024 usually are not)"
        if isinstance(error, socket.gaierror | UnicodeError) or number == errno.EADDRNOTAVAIL:
            return f"{where}: this machine has no such address"
        return f"{where}: cannot be used: {error}"


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._free = threading.BoundedSemaphore(MAX_REQUESTS_AT_ONCE)
        self._begun: dict[socket.socket, float] = {}
        super().__init__(*arguments, **options)

    def server_bind(self) -> None:
        # As in the standard library, but without asking the name service who we are.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]
        self.setup_environ()

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        self._begun[request] = time.monotonic()
        try:
            super().process_request_thread(request, client_address)
        finally:
            del self._begun[request]
            self._free.release()

    def service_actions(self) -> None:
        """Twice a second: cut off who drips, and is so never late with any one piece."""
        latest = time.monotonic() - REQUEST_SECONDS
        for request, begun in self._begun.copy().items():
            if begun < latest:
                with suppress(OSError):  # it has ended meanwhile
                    request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever asked went away, or asked for nonsense: nobody needs to know."""


class _Requests(WSGIRequestHandler):
    timeout = REQUEST_SECONDS

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - the base's name
        """Nothing: a scrape every few seconds is no news."""

    def address_string(self) -> str:
        """The address itself: a name would have to be looked up."""
        return str(self.client_address[0])


def _server(address: str, port: int) -> _Server:
    family, *_, found = socket.getaddrinfo(
        address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]

    class Server(_Server):
        address_family = family

    return Server(found[:2], _Requests)
