"""Where a worker serves HTTP: which addresses it may have, and how connections are taken there."""

from __future__ import annotations

import errno
import ipaddress
import logging
import socket
from typing import Any

from aiohttp.web import Application, BaseSite, SockSite

from fanout_app.core.errors import StartError
from fanout_app.options import Options
from fanout_app.tls import TlsFiles
from fanout_app.web.hosts import host_of
from fanout_app.web.runner import ProblemRunner
from fanout_app.web.serving_limits import ServingLimits
from fanout_app.web.tls_site import TlsSite

logger = logging.getLogger("fanout.web.server")

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORTS = range(6066, 6100)
#: Connections that wait to be accepted: a burst of clients that connect at once must not be refused.
BACKLOG = 1024
_SHUTDOWN = 2.0
#: Who asks here is answered however many connections there are: a worker that is full must not be taken for a sick one,
#: nor lose the others.
_ALWAYS = frozenset({"/healthz", "/readyz", "/internal/link"})
_BIND = "--bind HOST:PORT"


def new_runner(app: Application, options: Options) -> ProblemRunner:
    limits = ServingLimits(
        request_timeout=options.request_timeout,
        answer_timeout=options.answer_timeout,
        idle_timeout=options.idle_timeout,
        header_size=int(options.max_header_size),
    )
    # Without cancellation a handler whose client is gone would go on waiting, and be given messages.
    return ProblemRunner(app, limits, always=_ALWAYS, handler_cancellation=True, shutdown_timeout=_SHUTDOWN)


def url_of(listener: socket.socket, scheme: str = "http") -> str:
    host, port = listener.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def new_site(runner: ProblemRunner, listener: socket.socket, tls: TlsFiles | None) -> BaseSite:
    """What takes connections there, with TLS where there is a certificate."""
    if tls is None or tls.in_use.server is None:
        return SockSite(runner, listener, backlog=BACKLOG)
    return TlsSite(runner, listener, lambda: tls.in_use.server)


def check(bind: str | None, admin_port: int | None = None, *, insecure: bool, tokens: bool = False) -> None:
    """See whether this address can be had and may be served at, before anything is made for it elsewhere.

    ``admin_port`` is that of those who run it, if they have one; ``tokens`` says whether everybody is asked for one,
    ``insecure`` whether it is meant that nobody is.

    Raises:
        StartError: it is taken, not of this machine, or reachable by others although nobody is asked who they are.
    """
    if exposed(bind) and not (tokens or insecure):
        raise StartError(
            f"--bind {bind} can be reached from other machines, and whoever reaches it may take and settle messages: "
            "ask for tokens with --tokens-file, bind to 127.0.0.1, or say that this is meant with --insecure"
        )
    if bind is not None:
        listen(bind).close()
    if admin_port is not None:
        listen_for_operators(bind, admin_port).close()


def exposed(bind: str | None) -> bool:
    """Whether others than this machine can reach the address."""
    if bind is None:
        return False
    found = _addresses(*_host_and_port(bind), bind)
    return not all(ipaddress.ip_address(address[0].partition("%")[0]).is_loopback for *_, address in found)


def names_of(options: Options) -> frozenset[str] | None:
    """The names by which this worker may be asked, beside those of the loopback; None: any will do.

    Names are looked at where nothing else keeps strangers away: at the loopback, without tokens.
    """
    if options.insecure or options.tokens_file is not None or exposed(options.bind):
        return None
    return frozenset(host_of(address) for address in (options.bind, options.advertise) if address is not None)


def listen(bind: str | None) -> socket.socket:
    """A listening socket at ``HOST:PORT``, or at the first free default port where nothing was asked for.

    Raises:
        StartError: the address cannot be had.
    """
    if bind is not None:
        return _listen(*_host_and_port(bind), bind)
    for port in DEFAULT_PORTS:
        try:
            listener = _listen(DEFAULT_HOST, port, f"{DEFAULT_HOST}:{port}")
        except _InUseError:
            continue
        if port != DEFAULT_PORTS[0]:
            logger.info("port %d is taken, serving at %d; ask for another one with --bind", DEFAULT_PORTS[0], port)
        return listener
    raise StartError(f"no free port from {DEFAULT_PORTS[0]} to {DEFAULT_PORTS[-1]}: give one with --bind HOST:PORT")


def listen_for_operators(bind: str | None, port: int) -> socket.socket:
    """A listening socket at this port of the host that clients are served at. Raises StartError as `listen` does."""
    host = DEFAULT_HOST if bind is None else bind.rpartition(":")[0]
    return _listen(host.strip("[]"), port, f"{host}:{port}", "--admin-port")


class _InUseError(StartError):
    pass


def _host_and_port(bind: str) -> tuple[str, int]:
    host, _, number = bind.rpartition(":")
    return host.strip("[]"), int(number)


def _addresses(host: str, port: int, shown: str, option: str = _BIND) -> list[Any]:
    try:
        return list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE))
    except OSError as error:
        raise StartError(f"cannot serve at {shown}: {error.strerror}; choose another {option}") from error


def _listen(host: str, port: int, shown: str, option: str = _BIND) -> socket.socket:
    family, kind, protocol, _, address = _addresses(host, port, shown, option)[0]
    try:
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            # Two that bind the same port at once both succeed, and only one of them may listen: find out here.
            listener.listen(BACKLOG)
        except BaseException:
            listener.close()
            raise
    except OSError as error:
        kind_of = _InUseError if error.errno == errno.EADDRINUSE else StartError
        raise kind_of(f"cannot serve at {shown}: {error.strerror}; choose another {option}") from error
    return listener
