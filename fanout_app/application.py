"""Builds the app. What can be wrong with options, brokers and topics is found here, before a service starts.

Faust gets here for ``faust -A fanout_app``, ``fanout`` by itself.
"""

from __future__ import annotations

from functools import partial

import agents
import tables
from fanout_app.core.errors import StartError
from fanout_app.faust_app import Fanout
from fanout_app.kafka.brokers import Brokers
from fanout_app.kafka.connections import break_cleanly
from fanout_app.kafka.prepare import prepare
from fanout_app.key_file import KeyFile
from fanout_app.options import Options
from fanout_app.tls import TlsFiles
from fanout_app.tokens_file import TokensFile
from fanout_app.web import listening
from fanout_app.zookeeper.login import Login
from fanout_app.zookeeper.session import lease_key


def create(options: Options) -> Fanout:
    """Build the app, with the topics it needs in place.

    Raises:
        StartError, OptionError: something is missing or wrong; the message is for the person at the terminal.
    """
    for package in (agents, tables):
        if getattr(package, "OWNER", None) != "fanout":
            raise StartError(
                f"the package {package.__name__!r} of another distribution is in the way ({package.__file__}): "
                "install fanout into an environment of its own"
            )
    from agents import intake
    from tables import ledgers

    key_file = KeyFile(options.lease_key_file) if options.lease_key_file else None
    lease_keys = key_file.read() if key_file is not None else None
    tokens_file = TokensFile(options.tokens_file) if options.tokens_file is not None else None
    if tokens_file is not None:
        tokens_file.read()
    tls = TlsFiles.of(options)
    if tls is not None:
        tls.read()
    listening.check(options.bind, options.admin_port, insecure=options.insecure, tokens=tokens_file is not None)
    brokers, login = Brokers.of(options), Login.of(options)
    keep = partial(lease_key, options.zookeepers, login, options.id, options.topic) if options.zookeepers else None
    break_cleanly()
    app = Fanout(options, brokers, prepare(options, brokers, lease_keys, keep), key_file, tokens_file, tls)
    app.ledgers = ledgers.declare(app)
    intake.declare(app)
    return app
