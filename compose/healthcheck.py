"""Whether the worker of this container is well and can answer a pull: exit code 0 or 1, for ``HEALTHCHECK``.

It knows where the worker serves, and with which certificate, from the variables of the container alone: who gives these
as options instead, gives a health check as well.
"""

from __future__ import annotations

import os
import ssl
import sys
from http.client import HTTPConnection, HTTPException, HTTPSConnection

#: Seconds; below the ``--timeout`` of the Dockerfile.
_WITHIN = 4.0
#: Bytes of an answer that Docker is to show.
_SHOWN = 1000
#: Not to be restarted, and able to answer.
_PATHS = ("/healthz", "/readyz")
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}


def connection() -> HTTPConnection:
    host, _, port = os.environ.get("FANOUT_BIND", "127.0.0.1:6066").rpartition(":")
    host = host.strip("[]")
    host = _EVERYWHERE.get(host, host)
    certificate = os.environ.get("FANOUT_TLS_CERT")
    if not certificate:
        return HTTPConnection(host, int(port), timeout=_WITHIN)
    context = ssl.create_default_context()
    # It is this container that is asked, under a name that is not in the certificate.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    # With --client-ca whoever connects needs one, and workers show each other theirs.
    context.load_cert_chain(certificate, os.environ.get("FANOUT_TLS_KEY"))
    return HTTPSConnection(host, int(port), timeout=_WITHIN, context=context)


def main() -> int:
    try:
        asked = connection()
        for path in _PATHS:
            asked.request("GET", path)
            answer = asked.getresponse()
            said = answer.read(_SHOWN).decode(errors="replace")
            if answer.status != 200:
                sys.stdout.write(f"{path}: {answer.status} {said}\n")
                return 1
    except (OSError, HTTPException, ValueError) as error:
        sys.stdout.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
