"""Structured data as accounts sign it (EIP-712), read strictly: what a person is shown is all that is hashed.

Standard libraries sign a missing domain as an empty one, skip members that a type does not name, and pad what is too
short. Here the domain names chain and contract, each value has exactly its type, and what is not hashed is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from oms_core.chains import abi
from oms_core.chains.abi import Base
from oms_core.chains.address import chain_id, parse_address, to_checksum
from oms_core.chains.keccak import keccak256
from oms_core.chains.operations import Argument
from oms_core.errors import Malformed, Reason

MAX_JSON = 32 * 1024  # bytes of UTF-8
MAX_LEAVES = 1024
MAX_STRUCTS = 64
MAX_NESTING = 8  # of structs and arrays
DOMAIN = "EIP712Domain"
_STANDARD = {
    "name": "string",
    "version": "string",
    "chainId": "uint256",
    "verifyingContract": "address",
    "salt": "bytes32",
}
_NAME = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]{0,63}\Z")
_DECIMAL = re.compile(r"(?:0|-?[1-9][0-9]{0,77})\Z")
_HEX = re.compile(r"0x(?:[0-9a-fA-F]{2})*\Z")
_ARRAY = re.compile(r"(.*)\[([1-9][0-9]{0,3})?\]\Z", re.DOTALL)

Types = Mapping[str, tuple[tuple[str, str], ...]]
"""Struct name to its members: (type, name)."""


@dataclass(frozen=True, slots=True)
class Typed:
    """What was read: the contract that will verify it, the primary type, every value, and the 32 bytes to be signed.

    ``form`` is the primary type as it is hashed (encodeType); ``signature`` the same as an ABI signature.
    """

    contract: bytes
    primary: str
    form: str
    signature: str
    domain: tuple[Argument, ...]
    fields: tuple[Argument, ...]
    digest: bytes

    def value(self, place: str) -> int | str:
        """The value at a place that this form has."""
        return next(field.value for field in self.fields if field.place == place)


def read_typed(text: str, chain: str) -> Typed:
    """Read typed data for a contract on ``chain``.

    Raises `Malformed`: CHAIN_MISMATCH for a domain without this chain's id, BAD_ADDRESS or BAD_CHECKSUM for one without
    a contract, TOO_LARGE, MALFORMED.
    """
    whole = _parse(text)
    types = _types(whole["types"])
    domain, primary = whole["domain"], whole["primaryType"]
    if not isinstance(primary, str) or primary not in types or primary == DOMAIN:
        raise Malformed("the primary type is one of the types")
    contract = _check_domain(types, domain, chain)
    unused = set(types) - _reachable(types, primary) - {DOMAIN}
    if unused:
        raise Malformed(f"{min(unused)} is not part of {primary}, so nobody would sign it")
    about, said = _Hasher(types), _Hasher(types)
    hashes = about.struct(DOMAIN, domain, "", 0) + said.struct(primary, whole["message"], "", 0)
    return Typed(
        contract=contract,
        primary=primary,
        form=encode_type(types, primary),
        signature=primary + _expanded(types, primary, {}),
        domain=tuple(about.leaves),
        fields=tuple(said.leaves),
        digest=keccak256(b"\x19\x01" + hashes),
    )


def encode_type(types: Types, name: str) -> str:
    """The struct, then all that it is made of in order of their names, as EIP-712 hashes it."""
    others = sorted(_reachable(types, name) - {name})
    return "".join(f"{one}({','.join(f'{kind} {member}' for kind, member in types[one])})" for one in (name, *others))


def _parse(text: str) -> dict[str, object]:
    try:
        if len(text.encode()) > MAX_JSON:
            raise Malformed(f"typed data has at most {MAX_JSON} bytes", Reason.TOO_LARGE)
        whole = json.loads(
            text, object_pairs_hook=_object, parse_float=_no_number, parse_constant=_no_number, parse_int=_integer
        )
    except (ValueError, RecursionError):
        raise Malformed("typed data is JSON without fractions") from None
    if not isinstance(whole, dict) or set(whole) != {"types", "primaryType", "domain", "message"}:
        raise Malformed("typed data has types, primaryType, domain and message, and nothing else")
    return whole


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise Malformed("a name stands twice in a JSON object")
    return made


def _no_number(text: str) -> object:
    raise Malformed(f"{text[:40]} is not an integer")


def _integer(text: str) -> int:
    if not _DECIMAL.match(text):
        raise Malformed(f"{text[:40]} is not an integer of at most 78 digits")
    return int(text)


def _types(given: object) -> Types:
    if not isinstance(given, dict) or DOMAIN not in given or len(given) > MAX_STRUCTS:
        raise Malformed(f"the types are at most {MAX_STRUCTS}, {DOMAIN} among them")
    types = {name: _struct(name, members) for name, members in given.items()}
    for name, members in types.items():
        for kind, member in members:
            inner = _innermost(kind)
            if inner not in types and not _atom(inner):
                raise Malformed(f"{name}.{member} has the type {kind[:40]!r}, which there is not")
        if name in _reachable(types, name, itself=False):
            raise Malformed(f"{name} contains itself")
    return types


def _struct(name: str, given: object) -> tuple[tuple[str, str], ...]:
    if not _NAME.match(name) or _atom(name) or not isinstance(given, list) or not given:
        raise Malformed(f"{name[:40]!r} is not a struct")
    members = []
    for one in given:
        if not isinstance(one, dict) or set(one) != {"name", "type"}:
            raise Malformed(f"a member of {name} has a name and a type")
        kind, member = one["type"], one["name"]
        if not isinstance(kind, str) or not isinstance(member, str) or not _NAME.match(member) or len(kind) > 80:
            raise Malformed(f"a member of {name} has a name and a type")
        members.append((kind, member))
    if len({member for _, member in members}) != len(members):
        raise Malformed(f"{name} has two members of one name")
    return tuple(members)


def _innermost(kind: str) -> str:
    for _ in range(MAX_NESTING):
        match = _ARRAY.match(kind)
        if not match:
            return kind
        kind = match.group(1)
    raise Malformed("arrays are nested too deeply")


def _atom(name: str) -> bool:
    try:
        return abi.parse_type(name).base not in (Base.TUPLE, Base.ARRAY)
    except Malformed:
        return False


def _reachable(types: Types, name: str, itself: bool = True) -> set[str]:
    """The structs that a struct is made of."""
    found, left = {name} if itself else set(), [name]
    while left:
        for kind, _ in types[left.pop()]:
            inner = _innermost(kind)
            if inner in types and inner not in found:
                found.add(inner)
                left.append(inner)
    return found


def _expanded(types: Types, name: str, known: dict[str, str]) -> str:
    """A struct written as a tuple, at most as long as a signature may be; ``known`` are those that were written."""
    if name not in known:
        parts = []
        for kind, _ in types[name]:
            inner = _innermost(kind)
            parts.append(_expanded(types, inner, known) + kind[len(inner) :] if inner in types else kind)
        known[name] = f"({','.join(parts)})"
        if len(known[name]) > abi.MAX_SIGNATURE:
            raise Malformed(f"{name} is too large a type", Reason.TOO_LARGE)
    return known[name]


def _check_domain(types: Types, domain: object, chain: str) -> bytes:
    """The contract that a domain names, on this chain."""
    members = types[DOMAIN]
    standard = tuple((kind, name) for name, kind in _STANDARD.items() if name in {member for _, member in members})
    if members != standard:
        raise Malformed(f"{DOMAIN} has members that the standard does not know, or in another order")
    if not isinstance(domain, dict) or domain.get("chainId") is None or ("uint256", "chainId") not in members:
        raise Malformed("the domain names no chain", Reason.CHAIN_MISMATCH)
    if _number(domain["chainId"], "chainId") != chain_id(chain):
        raise Malformed(f"the domain is of another chain than {chain}", Reason.CHAIN_MISMATCH)
    text = domain.get("verifyingContract")
    if not isinstance(text, str) or ("address", "verifyingContract") not in members:
        raise Malformed("the domain names no contract", Reason.BAD_ADDRESS)
    contract = parse_address(text)
    if not any(contract):
        raise Malformed("the domain names the zero address", Reason.BAD_ADDRESS)
    return contract


def _number(value: object, where: str) -> int:
    """An integer, or a decimal one in a text: JSON readers elsewhere lose digits above 2^53."""
    if isinstance(value, str) and _DECIMAL.match(value):
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise Malformed(f"{where[:80]} is not an integer")
    return value


class _Hasher:
    """Hashes structs, and keeps each value that goes into a hash with the place where it stands."""

    def __init__(self, types: Types) -> None:
        self._types, self._hashes, self.leaves = types, dict[str, bytes](), list[Argument]()

    def struct(self, name: str, value: object, where: str, depth: int) -> bytes:
        """hashStruct: 32 bytes."""
        members = self._types[name]
        if depth > MAX_NESTING or not isinstance(value, dict) or set(value) != {member for _, member in members}:
            raise Malformed(f"{where or name} does not have exactly the members of {name}")
        prefix = f"{where}." if where else ""
        if name not in self._hashes:
            self._hashes[name] = keccak256(encode_type(self._types, name).encode())
        parts = [self._hashes[name]]
        parts += [self._value(kind, value[member], prefix + member, depth + 1) for kind, member in members]
        return keccak256(b"".join(parts))

    def _value(self, kind: str, value: object, where: str, depth: int) -> bytes:
        """encodeData of one member: 32 bytes."""
        match = _ARRAY.match(kind)
        if match:
            size = match.group(2)
            if depth > MAX_NESTING or not isinstance(value, list) or (size and len(value) != int(size)):
                raise Malformed(f"{where} is not a {kind}")
            self._keep(f"{where}.length", "uint256", len(value))
            parts = (self._value(match.group(1), one, f"{where}[{i}]", depth + 1) for i, one in enumerate(value))
            return keccak256(b"".join(parts))
        if kind in self._types:
            return self.struct(kind, value, where, depth)
        return self._leaf(kind, value, where)

    def _leaf(self, kind: str, value: object, where: str) -> bytes:
        atom = abi.parse_type(kind)
        match atom.base:
            case Base.BOOL if isinstance(value, bool):
                self._keep(where, kind, int(value))
                return abi.encode([atom], [value])
            case Base.UINT | Base.INT:
                number = _number(value, where)
                self._keep(where, kind, number)
                return abi.encode([atom], [number])
            case Base.ADDRESS if isinstance(value, str):
                address = parse_address(value)
                self._keep(where, kind, to_checksum(address))
                return abi.encode([atom], [address])
            case Base.STRING if isinstance(value, str):
                data = _utf8(value, where)
                self._keep(where, kind, value)
                return keccak256(data)
            case Base.BYTES | Base.FIXED if isinstance(value, str) and _HEX.match(value):
                data = bytes.fromhex(value[2:])
                self._keep(where, kind, value.lower())
                return keccak256(data) if atom.base is Base.BYTES else abi.encode([atom], [data])
        raise Malformed(f"{where} is not a {kind}")

    def _keep(self, where: str, kind: str, value: int | str) -> None:
        if len(self.leaves) >= MAX_LEAVES:
            raise Malformed(f"typed data has at most {MAX_LEAVES} values", Reason.TOO_LARGE)
        self.leaves.append(Argument(where, kind, value))


def _utf8(text: str, where: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise Malformed(f"{where} has half a character") from None
