"""How kazoo connects by TLS and waits for what comes that way.

kazoo waits for the socket alone, and OpenSSL may have decrypted an answer already that came in one record with another
one: then nothing arrives that would end the wait, until the next ping has its answer. Here such a socket is ready at
once. kazoo's own way to connect trusts the system's CAs beside the one given; here it is one context that decides.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Sequence
from typing import Any

from kazoo.handlers.threading import SequentialThreadingHandler


class TlsHandler(SequentialThreadingHandler):
    """For one client of kazoo."""

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__()
        self._context = context
        #: Why no connection could be made by the last try, where that was for TLS; empty: it could.
        self.refused = ""

    def create_connection(self, address: tuple[str, int], hostname: str | None = None, **how: Any) -> ssl.SSLSocket:
        """Raises OSError; `hostname` is what the address was looked up by, and what the certificate has to name."""
        plain = socket.create_connection(address, how.get("timeout"))
        try:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connected = self._context.wrap_socket(plain, server_hostname=hostname or address[0])
        except ssl.SSLError as error:
            plain.close()
            self.refused = getattr(error, "verify_message", "") or error.reason or str(error)
            raise
        except OSError:
            plain.close()
            raise
        self.refused = ""
        return connected

    def select(
        self, reads: Sequence[Any], writes: Sequence[Any], others: Sequence[Any], timeout: float | None = None
    ) -> tuple[list[Any], list[Any], list[Any]]:
        decrypted = [one for one in reads if isinstance(one, ssl.SSLSocket) and one.pending()]
        if not decrypted:
            ready: tuple[list[Any], list[Any], list[Any]] = super().select(reads, writes, others, timeout)
            return ready
        waited_for = [one for one in reads if one not in decrypted]
        readable, writable, odd = super().select(waited_for, writes, others, 0)
        return [*decrypted, *readable], writable, odd
