"""From bytes or a query to a schema's struct, or a problem that lists every fault.

The decoder stops at the first fault. It is asked first, since nearly all requests have none; only then the request is
taken apart again, field by field, by the same schema.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import UnionType
from typing import Annotated, Any, Final, TypeVar, Union, get_args, get_origin

import msgspec
from msgspec import Struct, UnsetType

from fanout_app.web.codecs import JSON, MSGPACK, PROTOBUF, Form
from fanout_app.web.problems import Fault, invalid
from fanout_app.web.protobuf import codec as protobuf

_MOST_FAULTS: Final = 100
_WHOLE: Final = "body"
_PLACE: Final = re.compile(r"^(?P<detail>.*?)(?: - at (?:`key` in )?`\$\.?(?P<place>.*)`)?$", re.DOTALL)
#: What decoders raise for bytes that clients may send. Unhashable keys and deep nesting are among them.
MALFORMED: Final = (msgspec.MsgspecError, ValueError, TypeError, RecursionError)

S = TypeVar("S", bound=Struct)


class Body:
    """Decodes the bodies of one schema, whatever form they are in."""

    def __init__(self, kind: type[Struct]) -> None:
        self.kind = kind
        self._json = msgspec.json.Decoder(kind)
        self._msgpack = msgspec.msgpack.Decoder(kind)

    def decode(self, raw: bytes, form: Form) -> Any:
        """An instance of the schema; no bytes are an object without fields. Raises `Problem`."""
        if form is PROTOBUF and not protobuf.speaks(self.kind):
            detail = f"{form.media_types[0]} is for pulls and settles: send application/json or application/msgpack"
            raise invalid([Fault("Content-Type", detail)])
        try:
            if not raw:
                return msgspec.convert({}, self.kind)
            if form is JSON:
                return self._json.decode(raw)
            if form is MSGPACK:
                return self._msgpack.decode(raw)
            return msgspec.convert(protobuf.read(self.kind, raw), self.kind)
        except MALFORMED as error:
            raise invalid(self._faults(raw, error, form)) from None

    def _faults(self, raw: bytes, error: Exception, form: Form) -> list[Fault]:
        try:
            faults = faults_of(self.kind, self._fields(raw, form))
        except MALFORMED:
            faults = []
        return faults or [_fault_of(error, form)]

    def _fields(self, raw: bytes, form: Form) -> object:
        if not raw:
            return {}
        if form is PROTOBUF:
            return protobuf.read(self.kind, raw)
        return msgspec.msgpack.decode(raw) if form is MSGPACK else msgspec.json.decode(raw)


def query(kind: type[S], given: Mapping[str, str], names: list[str]) -> S:
    """Read a query string, whose values are all text. Raises `Problem`."""
    # Of mappings that are no dictionaries the converter lets unknown fields pass.
    given = dict(given)
    if len(given) == len(names):
        try:
            return msgspec.convert(given, kind, strict=False)
        except MALFORMED:
            pass
    faults = faults_of(kind, given, strict=False)
    faults += [Fault(name, "is given more than once") for name in given if names.count(name) > 1]
    raise invalid(faults or [Fault("query", "cannot be read")])


def faults_of(kind: type[Struct], value: object, at: str = "", *, strict: bool = True) -> list[Fault]:
    """Every fault of what should become a struct of this kind, with the place of each."""
    if not isinstance(value, dict):
        return [Fault(at or _WHOLE, f"expected an object with fields, got {_name_of(value)}")]
    front = f"{at}." if at else ""
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    known = ", ".join(fields) or "none"
    found = [
        Fault(front + str(name)[:100], f"unknown field; known here: {known}") for name in value if name not in fields
    ]
    for name, field in fields.items():
        if name in value:
            found += _faults_of_value(field.type, value[name], front + name, strict)
        elif field.required:
            found.append(Fault(front + name, "is required"))
    return found[:_MOST_FAULTS]


def _faults_of_value(annotation: Any, value: object, at: str, strict: bool) -> list[Fault]:
    bare, *others = _choices(annotation)
    for struct in (bare, *others):
        if isinstance(struct, type) and issubclass(struct, Struct) and (not others or isinstance(value, dict)):
            return faults_of(struct, value, at)
    try:
        msgspec.convert(value, annotation, strict=strict)
    except MALFORMED as error:
        found: list[Fault] = []
        if get_origin(bare) is list and isinstance(value, list):
            (item,) = get_args(bare)
            for index, entry in enumerate(value):
                found += _faults_of_value(item, entry, f"{at}[{index}]", strict)
        return found or [Fault(at, _detail(str(error), (bare, *others), value))]
    return []


def _choices(annotation: Any) -> list[Any]:
    """The types inside ``Annotated[...]`` and ``... | ...``, without `UnsetType`."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _choices(get_args(annotation)[0])
    if origin in (Union, UnionType):
        return [choice for part in get_args(annotation) if part is not UnsetType for choice in _choices(part)]
    return [annotation]


def _detail(text: str, choices: Sequence[Any], value: object) -> str:
    if text.startswith("Invalid enum value"):
        words = [str(word) for choice in choices for word in get_args(choice)]
        return ", or ".join([f"expected one of {', '.join(words)}", *map(_shape, choices[1:])])
    text = text.partition(" - at ")[0].replace("`", "")
    text = text[:1].lower() + text[1:]
    if isinstance(value, list):
        return f"{text}, got {len(value)}"
    return f"{text}, got {value}" if isinstance(value, int) and " got " not in text else text


def _shape(choice: Any) -> str:
    if issubclass(choice, Struct):
        return f"an object with {', '.join(field.encode_name for field in msgspec.structs.fields(choice))}"
    return str(choice.__name__)


def _name_of(value: object) -> str:
    return {list: "an array", str: "a string", type(None): "null"}.get(type(value), type(value).__name__)


def _fault_of(error: Exception, form: Form) -> Fault:
    """What the decoder itself said, where the request cannot even be taken apart (numbers out of all range, say)."""
    if isinstance(error, RecursionError):
        return Fault(_WHOLE, "is nested too deeply")
    if isinstance(error, msgspec.ValidationError):
        match = _PLACE.fullmatch(str(error))
        place = match["place"] if match else None
        return Fault(place or _WHOLE, _detail(str(error), (), None))
    name = "JSON" if form is JSON else form.name
    return Fault(_WHOLE, f"is not valid {name} ({_detail(str(error), (), None)})")
