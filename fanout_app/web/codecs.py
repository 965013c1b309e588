"""JSON, msgpack and protobuf: which of them a request is in and which its answer wants."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final, Literal, NamedTuple

import msgspec
from aiohttp import web

from fanout_app.web.problems import Kind, Problem
from fanout_app.web.protobuf import codec as protobuf
from fanout_app.web.reply import Headers

FormName = Literal["json", "msgpack", "protobuf"]


class Form(NamedTuple):
    """A form of bodies."""

    name: FormName
    #: What it goes by, the first of these in answers.
    media_types: tuple[str, ...]
    #: Keeps no state between calls. Protobuf has pulls and settles only.
    encode: Callable[[Any], bytes]
    #: Of an answer in it.
    headers: Headers

    @property
    def needs_schema(self) -> bool:
        """Whether it is of use only to those who ask for it by name, and not to those who take anything."""
        return self.name == "protobuf"

    @property
    def binary(self) -> bool:
        """Whether bytes are bytes in it, and not text of some encoding."""
        return self.name != "json"

    def response(self, value: Any) -> web.Response:
        return web.Response(body=self.encode(value), headers={"Content-Type": self.media_types[0]})


def _form(name: FormName, encode: Callable[[Any], bytes], *media_types: str) -> Form:
    return Form(name, media_types, encode, (("Content-Type", media_types[0]),))


JSON: Final = _form("json", msgspec.json.Encoder().encode, "application/json")
MSGPACK: Final = _form(
    "msgpack",
    msgspec.msgpack.Encoder().encode,
    "application/msgpack",
    "application/x-msgpack",
    "application/vnd.msgpack",
)
PROTOBUF: Final = _form(
    "protobuf",
    protobuf.write,
    "application/x-protobuf",
    "application/protobuf",
    "application/vnd.google.protobuf",
)
#: Those of pulls and settles, and those of all else. Of forms that are welcome alike the first is taken.
OF_MESSAGES: Final = (JSON, MSGPACK, PROTOBUF)
OF_ALL: Final = (JSON, MSGPACK)
FORMS: Final[Mapping[str, Form]] = {form.name: form for form in OF_MESSAGES}
_BY_MEDIA_TYPE: Final = {media_type: form for form in OF_MESSAGES for media_type in form.media_types}


def asked_in(request: web.Request) -> Form:
    """The form of the body. What it does not know is read as JSON: ``curl -d`` says it sends a form."""
    content_type = request.headers.get("Content-Type")
    if content_type is None:
        return JSON
    return _BY_MEDIA_TYPE.get(content_type.partition(";")[0].strip().lower(), JSON)


def form_of(request: web.Request, served: tuple[Form, ...] = OF_ALL) -> Form:
    """The form that the answer wants. Raises `Problem` where it is none of ours, before anything is done."""
    accept = request.headers.getall("Accept", None)
    if accept is None:
        return JSON
    form = _accepted(", ".join(accept), served)
    if form is None:
        known = ", ".join(form.media_types[0] for form in served)
        raise Problem(Kind.NOT_ACCEPTABLE, f"Accept names nothing that is served: {known}")
    return form


@lru_cache(maxsize=256)
def _accepted(accept: str, served: tuple[Form, ...]) -> Form | None:
    """The form preferred by an Accept header (RFC 9110, 12.5.1)."""
    weights = dict.fromkeys(served, 0.0)
    precise = dict.fromkeys(served, -1)
    for part in accept.split(","):
        media_type, weight = _weighed(part)
        for form in served:
            # The most specific range that fits decides, wherever it stands.
            specific = 2 - media_type.count("*")
            anything = media_type in ("application/*", "*/*") and not form.needs_schema
            if (anything or media_type in form.media_types) and specific > precise[form]:
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
