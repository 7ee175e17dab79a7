"""The one canonical encoding: whole frozen documents to deterministic CBOR and back (RFC 8949, section 4.2.1).

All bytes that are hashed, signed, sent between nodes or sealed are made and read here. A document is a frozen
dataclass declared with `document("kind/version")`; it is written as a map of *all* its fields plus its kind, so no
field can be left out of a hash. Values are integers, text, bytes, booleans, None, tuples, maps with
text or integer keys, enumerations, documents, and types that offer ``__canonical__`` (curve points).

Reading is strict: a first pass over the raw bytes allows only the shortest form of each head, sorted map keys, no
floats, no tags but the bignums, bounded depth and bounded integers; then every field is checked against its annotation,
unknown and missing fields are refused, and the result must re-encode to the same bytes.
"""

from __future__ import annotations

import hashlib
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from functools import cache, partial
from typing import Any, ClassVar, TypeVar, Union, cast, dataclass_transform, get_args, get_origin, get_type_hints

import cbor2
import gmpy2

from oms_core.cbor import check_form
from oms_core.errors import Malformed, Reason

T = TypeVar("T")

DEFAULT_LIMIT = 1 << 20
KIND = "@"  # map key of a document's kind; no field can have this name

_DOMAIN = "counterseal"
_MPZ = type(gmpy2.mpz(0))


@dataclass_transform(frozen_default=True)
def document(kind: str) -> Callable[[type[T]], type[T]]:
    """Declare a frozen, slotted dataclass that is written under ``kind``, for example ``"intent/1"``."""

    def declare(cls: type[T]) -> type[T]:
        made = dataclass(frozen=True, slots=True)(cls)
        made.__kind__ = kind  # type: ignore[attr-defined]
        return made

    return declare


def encode(value: object) -> bytes:
    """Canonical bytes of a document or plain value. Raises TypeError on what has no canonical form."""
    data: bytes = cbor2.dumps(_plain(value))
    return data


def decode(kind: type[T], data: bytes, limit: int = DEFAULT_LIMIT) -> T:
    """Read a document of exactly this kind. Raises `Malformed` on anything else, `TOO_LARGE` above ``limit`` bytes."""
    return cast(T, _read(kind, kind.__name__, data, limit))


def decode_one_of(kinds: tuple[type[T], ...], data: bytes, limit: int = DEFAULT_LIMIT) -> T:
    """Read a document of one of these kinds, told apart by the kind it names. Raises `Malformed` as `decode`."""
    return cast(
        T,
        _read(
            Union[kinds],  # noqa: UP007 - made at run time
            " or ".join(kind.__name__ for kind in kinds),
            data,
            limit,
        ),
    )


def _read(hint: Any, name: str, data: bytes, limit: int) -> object:
    if len(data) > limit:
        raise Malformed(f"{len(data)} bytes where at most {limit} are allowed", Reason.TOO_LARGE)
    check_form(data)
    try:
        value = _reader(hint)(cbor2.loads(data), name)
        again = encode(value)
    except (ValueError, TypeError, OverflowError, cbor2.CBORDecodeError) as error:
        raise Malformed(f"not a {name}: {type(error).__name__}") from error
    if again != data:
        raise Malformed(f"not the canonical form of a {name}")
    return value


def digest(context: str, *items: object, size: int = 32) -> bytes:
    """SHAKE256 over the canonical list of domain, context and items; ``context`` separates what is hashed where."""
    made: bytes = xof(context, *items).digest(size)
    return made


def xof(context: str, *items: object) -> Any:
    """The SHAKE256 state behind `digest`, for those who need a long stream."""
    return hashlib.shake_256(encode([_DOMAIN, 1, context, list(items)]))


_AS_THEY_ARE = frozenset({bool, bytes, int, str, type(None)})


def _plain(value: object) -> object:
    """The value in types that CBOR has."""
    kind: Any = type(value)
    return value if kind in _AS_THEY_ARE else _writer(kind)(value)


@cache
def _writer(kind: Any) -> Callable[[Any], object]:
    """`_plain` of values of this type, which is looked at once. Raises TypeError if they have no canonical form."""
    if issubclass(kind, Enum):
        return lambda value: value.value
    if issubclass(kind, bytes | int | str):
        return lambda value: value
    if issubclass(kind, _MPZ):
        return int
    if issubclass(kind, tuple | list):
        return lambda value: [_plain(item) for item in value]
    if issubclass(kind, Mapping):
        return _plain_map
    if hasattr(kind, "__canonical__"):
        return lambda value: value.__canonical__()
    if is_dataclass(kind) and hasattr(kind, "__kind__"):
        names = sorted((KIND, *(field.name for field in fields(kind))), key=_order)
        return lambda value: {name: kind.__kind__ if name == KIND else _plain(getattr(value, name)) for name in names}
    raise TypeError(f"{kind.__name__} has no canonical form")


def _plain_map(value: Mapping[object, object]) -> dict[object, object]:
    plain = {_key(key): _plain(item) for key, item in value.items()}
    return dict(sorted(plain.items(), key=lambda item: _order(item[0])))


def _order(key: object) -> bytes:
    """Map keys stand in the order of their bytes (RFC 8949, 4.2.1), which is not that of RFC 7049 for mixed keys."""
    encoded: bytes = cbor2.dumps(key)
    return encoded


def _key(key: object) -> object:
    if isinstance(key, Enum):
        return key.value
    if isinstance(key, bool) or not isinstance(key, int | str):
        raise TypeError("map keys are text or integers")
    return key


Reader = Callable[[Any, str], object]
"""Checks a value against an annotation and builds it; takes the path that is shown in the error."""


@cache
def _reader(hint: Any) -> Reader:
    """How to read what is annotated with ``hint``, which is looked at once."""
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        documents = {one.__kind__: one for one in args if _is_document(one)}
        return partial(_one_of, documents, [_reader(one) for one in args if not _is_document(one)])
    if origin is tuple and len(args) == 2 and args[1] is Ellipsis:
        return partial(_sequence, _reader(args[0]))
    if origin is tuple:
        return partial(_items, [_reader(one) for one in args])
    if origin in (dict, Mapping):
        return partial(_map, _reader(args[0]), _reader(args[1]))
    if _is_document(hint):
        return partial(_document, hint)
    if hasattr(hint, "from_canonical"):
        return partial(_made, hint)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return partial(_member, hint)
    return partial(_exactly, hint)


def _is_document(hint: Any) -> bool:
    return is_dataclass(hint) and isinstance(hint, type)


@cache
def _schema(kind: type) -> dict[str, Reader]:
    hints = get_type_hints(kind)
    return {one.name: _reader(hints[one.name]) for one in fields(kind) if get_origin(hints[one.name]) is not ClassVar}


def _document(kind: Any, value: object, where: str) -> object:
    if not isinstance(value, dict) or value.get(KIND) != kind.__kind__:
        raise Malformed(f"{where} is not a {kind.__kind__}")
    schema, given = _schema(kind), value.keys() - {KIND}
    if unknown := given - schema.keys():
        raise Malformed(f"{where} has unknown fields {sorted(map(str, unknown))[:4]}", Reason.UNKNOWN_FIELD)
    if missing := schema.keys() - given:
        raise Malformed(f"{where} lacks {sorted(missing)[:4]}")
    return kind(**{name: read(value[name], f"{where}.{name}") for name, read in schema.items()})


def _one_of(documents: Mapping[str, type], others: Sequence[Reader], value: object, where: str) -> object:
    """A union: documents are told apart by their kind, everything else by its type."""
    if isinstance(value, dict) and KIND in value:
        named = value[KIND]
        if isinstance(named, str) and named in documents:
            return _document(documents[named], value, where)
        raise Malformed(f"{where}: kind {str(named)[:40]!r} is not allowed here", Reason.UNSUPPORTED_TYPE)
    for read in others:
        try:
            return read(value, where)
        except Malformed:
            continue
    raise Malformed(f"{where} has a type that is not allowed here")


def _sequence(read: Reader, value: object, where: str) -> tuple[object, ...]:
    if not isinstance(value, list):
        raise Malformed(f"{where} is not a list")
    return tuple(read(item, f"{where}[{i}]") for i, item in enumerate(value))


def _items(readers: Sequence[Reader], value: object, where: str) -> tuple[object, ...]:
    if not isinstance(value, list):
        raise Malformed(f"{where} is not a list")
    if len(readers) != len(value):
        raise Malformed(f"{where} has {len(value)} items instead of {len(readers)}")
    return tuple(read(item, f"{where}[{i}]") for i, (read, item) in enumerate(zip(readers, value, strict=True)))


def _map(key: Reader, read: Reader, value: object, where: str) -> dict[object, object]:
    if not isinstance(value, dict):
        raise Malformed(f"{where} is not a map")
    return {key(k, where): read(v, f"{where}[{k}]") for k, v in value.items()}


def _made(kind: Any, value: object, where: str) -> object:
    try:
        return kind.from_canonical(value)
    except ValueError as error:
        raise Malformed(f"{where}: {error}") from error


def _member(kind: type[Enum], value: object, where: str) -> Enum:
    try:
        return kind(value)
    except ValueError:
        raise Malformed(f"{where}: no such {kind.__name__}") from None


def _exactly(kind: type, value: object, where: str) -> object:
    if type(value) is kind:  # a boolean is no integer
        return value
    raise Malformed(f"{where} is not {kind.__name__}")
