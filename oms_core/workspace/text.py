"""A workspace as people write it: plain tables, as TOML or JSON hold them, to the canonical document and back.

Table and key names are those of the documents. Bytes are lower-case hex, addresses EIP-55 with their checksum, a rule
names its ``kind`` (PERMIT, LIMIT, REQUIRE, DENY), and an amount is an integer of base units, its digits as text, or,
for an EVM chain's own coin, a text like ``"1.5 ETH"``. Nothing is guessed: unknown keys are refused, and a rule leaves
no field out.
"""

from __future__ import annotations

import re
import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any, Union, get_args, get_origin, get_type_hints

from oms_core.chains.amount import format_amount, parse_amount
from oms_core.chains.evm import NATIVE_DECIMALS, parse_address, to_checksum
from oms_core.errors import Malformed, Reason
from oms_core.policy.rules import Deny, Limit, Permit, Require
from oms_core.workspace import Workspace, check_workspace

_RULES: dict[str, type[Any]] = {kind.__name__.upper(): kind for kind in (Permit, Limit, Require, Deny)}
_DEFAULTS: dict[str, object] = {"version": 0, "parent": "", "address_book": [], "credentials": [], "proposal_keys": []}
_ADDRESSES = {"address", "addresses"}
_AMOUNTS = {"per_transaction", "per_day", "above"}
_COIN, _UNIT = "/slip44:60", " ETH"
_HEX = re.compile(r"(?:[0-9a-f]{2})*\Z")


def workspace_from_mapping(table: Mapping[str, object]) -> Workspace:
    """Read and check a workspace. Raises `Malformed` naming the field, UNKNOWN_FIELD for a key that there is not."""
    made: Workspace = _table(Workspace, table, "")
    check_workspace(made)
    return made


def workspace_to_mapping(workspace: Workspace) -> dict[str, Any]:
    """The tables that `workspace_from_mapping` reads as this workspace."""
    tables: dict[str, Any] = _written(workspace)
    return tables


def _table(kind: type[Any], value: object, where: str) -> Any:
    if not isinstance(value, Mapping):
        raise Malformed(f"{where or 'a workspace'} is not a table")
    hints = get_type_hints(kind)
    names = [field.name for field in fields(kind)]
    if unknown := sorted(str(key) for key in value if key not in names):
        raise Malformed(f"unknown key {_join(where, unknown[0][:64])}", Reason.UNKNOWN_FIELD)
    defaults = {} if kind in _RULES.values() else _DEFAULTS
    made = {}
    for name in names:
        if name not in value and name not in defaults:
            raise Malformed(f"{_join(where, name)} is missing")
        given, asset = value.get(name, defaults.get(name)), value.get("asset")
        try:
            made[name] = _amount(given, asset) if name in _AMOUNTS else _value(hints[name], name, given, where)
        except _Unreadable as error:
            raise Malformed(f"{_join(where, name)}: {error.message}", error.reason) from None
    return kind(**made)


class _Unreadable(Malformed):
    """A value that is wrong in itself; whoever knows the field's name says it."""


def _value(hint: Any, name: str, value: object, where: str) -> Any:
    if get_origin(hint) is tuple:
        if not isinstance(value, list | tuple):
            raise _Unreadable("not a list")
        item = get_args(hint)[0]
        return tuple(_value(item, name, one, f"{_join(where, name)}[{at}]") for at, one in enumerate(value))
    if get_origin(hint) in (Union, types.UnionType):
        return _rule(value, where)
    if is_dataclass(hint) and isinstance(hint, type):
        return _table(hint, value, where)
    if hint is bytes:
        return _bytes(name, value)
    if isinstance(hint, type) and issubclass(hint, Enum):
        if value not in [choice.value for choice in hint]:
            raise _Unreadable(f"one of {', '.join(choice.value for choice in hint)}")
        return hint(value)
    if type(value) is not hint:
        raise _Unreadable("not an integer" if hint is int else "not text")
    return value


def _rule(value: object, where: str) -> Any:
    if not isinstance(value, Mapping):
        raise Malformed(f"{where} is not a table")
    kind = value.get("kind")
    if not isinstance(kind, str) or kind not in _RULES:
        raise Malformed(f"{where}.kind: one of {', '.join(_RULES)}", Reason.UNSUPPORTED_TYPE)
    return _table(_RULES[kind], {key: one for key, one in value.items() if key != "kind"}, where)


def _bytes(name: str, value: object) -> bytes:
    if not isinstance(value, str):
        raise _Unreadable("not text")
    if name in _ADDRESSES:
        try:
            return parse_address(value, allow_lower=False)
        except Malformed as error:
            raise _Unreadable(error.message, error.reason) from None
    if not _HEX.match(value):
        raise _Unreadable("not lower-case hex, two digits a byte")
    return bytes.fromhex(value)


def _amount(value: object, asset: object) -> int:
    if type(value) is int:
        return value
    if not isinstance(value, str):
        raise _Unreadable("neither an integer nor text")
    coin = isinstance(asset, str) and asset.endswith(_COIN)
    if value.endswith(_UNIT) and not coin:
        raise _Unreadable("only an EVM chain's own coin is counted in ETH")
    try:
        return parse_amount(value.removesuffix(_UNIT), NATIVE_DECIMALS if value.endswith(_UNIT) else 0)
    except Malformed as error:
        raise _Unreadable(error.message, error.reason) from None


def _written(value: Any, name: str = "", asset: str = "") -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        kind = {"kind": type(value).__name__.upper()} if type(value) in _RULES.values() else {}
        asset = getattr(value, "asset", "")
        return kind | {field.name: _written(getattr(value, field.name), field.name, asset) for field in fields(value)}
    if isinstance(value, tuple):
        return [_written(one, name) for one in value]
    if isinstance(value, bytes):
        return to_checksum(value) if name in _ADDRESSES else value.hex()
    if name in _AMOUNTS:
        return format_amount(value, NATIVE_DECIMALS) + _UNIT if asset.endswith(_COIN) else str(value)
    return value.value if isinstance(value, Enum) else value


def _join(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name
