"""JSON and msgpack: which of them a request is in and which its answer wants."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final, NamedTuple

import msgspec
from aiohttp import web

from fanout_app.web.problems import Kind, Problem
from fanout_app.web.reply import Headers

_MSGPACK_TYPES: Final = frozenset({"application/msgpack", "application/x-msgpack", "application/vnd.msgpack"})
_JSON_TYPES: Final = frozenset({"application/json", "application/*", "*/*"})


class Form(NamedTuple):
    """A form of answers. Encoders keep no state between calls."""

    content_type: str
    encoder: msgspec.json.Encoder | msgspec.msgpack.Encoder
    msgpack: bool
    #: Of an answer in it.
    headers: Headers

    def response(self, value: Any) -> web.Response:
        return web.Response(body=self.encoder.encode(value), headers={"Content-Type": self.content_type})


def _form(content_type: str, encoder: msgspec.json.Encoder | msgspec.msgpack.Encoder, *, msgpack: bool) -> Form:
    return Form(content_type, encoder, msgpack, (("Content-Type", content_type),))


JSON: Final = _form("application/json", msgspec.json.Encoder(), msgpack=False)
MSGPACK: Final = _form("application/msgpack", msgspec.msgpack.Encoder(), msgpack=True)


def asked_in_msgpack(request: web.Request) -> bool:
    """Whether the body is msgpack. All else is read as JSON: ``curl -d`` says it sends a form."""
    content_type = request.headers.get("Content-Type")
    return content_type is not None and content_type.partition(";")[0].strip().lower() in _MSGPACK_TYPES


def form_of(request: web.Request) -> Form:
    """The form that the answer wants. Raises `Problem` where it is none of ours, before anything is done."""
    accept = request.headers.getall("Accept", None)
    if accept is None:
        return JSON
    form = _accepted(", ".join(accept))
    if form is None:
        raise Problem(Kind.NOT_ACCEPTABLE, "Accept names nothing that is served: application/json, application/msgpack")
    return form


@lru_cache(maxsize=256)
def _accepted(accept: str) -> Form | None:
    """The form preferred by an Accept header (RFC 9110, 12.5.1); JSON where both are welcome alike."""
    weights = {JSON: 0.0, MSGPACK: 0.0}
    precise = {JSON: -1, MSGPACK: -1}
    for part in accept.split(","):
        media_type, weight = _weighed(part)
        for form, names in ((JSON, _JSON_TYPES), (MSGPACK, _MSGPACK_TYPES)):
            # The most specific range that fits decides, wherever it stands.
            specific = 2 - media_type.count("*")
            fits = media_type in names or media_type in ("application/*", "*/*")
            if fits and specific > precise[form]:
                weights[form], precise[form] = weight, specific
    best = max(weights, key=lambda form: weights[form])
    return best if weights[best] > 0 else None


def _weighed(part: str) -> tuple[str, float]:
    media_type, *parameters = (piece.strip().lower() for piece in part.split(";"))
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return media_type, float(value)
            except ValueError:
                return media_type, 0.0
    return media_type, 1.0
