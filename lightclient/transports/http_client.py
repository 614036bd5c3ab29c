"""How to make the HTTP client: TLS authorities, proxies and limits; httpx is imported on use."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable
from functools import lru_cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING

from lightclient.errors import ConfigError

if TYPE_CHECKING:
    import httpx

ClientFactory = Callable[[], "httpx.AsyncClient"]


def make_client(ca_file: str | None, transport: httpx.AsyncBaseTransport | None) -> ClientFactory:
    """How to make the HTTP client: proxies from the environment, CAs from ``ca_file`` if given.

    The factory raises ConfigError where the environment or ``ca_file`` cannot be used.
    """

    def factory() -> httpx.AsyncClient:
        import httpx

        try:
            verify = _ssl_context(
                ca_file, os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
            )
        except (OSError, ValueError):
            source = ca_file or "SSL_CERT_FILE or SSL_CERT_DIR"
            raise ConfigError(f"no CA certificates can be read from {source}") from None
        try:
            return httpx.AsyncClient(
                verify=verify,
                transport=transport,
                follow_redirects=False,
                # Cookies would be credentials that nobody gave.
                cookies=CookieJar(policy=DefaultCookiePolicy(allowed_domains=[])),
                limits=httpx.Limits(max_connections=8, max_keepalive_connections=4),
            )
        except (ValueError, ImportError, httpx.InvalidURL):
            pass
        # Raised here: the causes quote the proxy's URL.
        raise ConfigError("a proxy variable (HTTPS_PROXY, HTTP_PROXY, ALL_PROXY) cannot be used")

    return factory


@lru_cache(maxsize=4)
def _ssl_context(ca_file: str | None, *_environment: str | None) -> ssl.SSLContext:
    """Shared by all providers: reading the usual authorities takes tens of milliseconds.

    ``_environment`` is what httpx looks at, for the cache to notice a change.
    """
    import httpx

    return ssl.create_default_context(cafile=ca_file) if ca_file else httpx.create_ssl_context()
