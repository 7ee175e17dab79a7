"""A workspace as people write it: plain tables, as TOML, JSON or YAML hold them, to the canonical document and back.

Table and key names are those of the documents. Bytes are lower-case hex, addresses EIP-55 with their checksum, a price
is an integer of micro-USD or a text like ``"3,000 USD"``. ``rules`` is a text: YAML as `oms_core.policy.text` reads it,
in the table or in a file of its own. So are the ``approvals`` of the governance, which may also be tables with the same
keys (``approvals = 2``, ``"from groups" = ["committee"]``, ``delay = "24h"``). Nothing is guessed: unknown keys are
refused; what may be left out is empty, and an entry's ``added_at`` the time of the whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any, get_args, get_origin, get_type_hints

from oms_core.chains.evm import parse_address, to_checksum
from oms_core.errors import Malformed, Reason
from oms_core.policy import units
from oms_core.policy.parts import requirement
from oms_core.policy.rules import Requirement, Zone
from oms_core.policy.text import requirement_from_yaml, requirement_to_yaml, rules_from_yaml, rules_to_yaml
from oms_core.policy.tree import Items, Scalar, Table, Tree, read_tree
from oms_core.workspace import Asset, EntryState, Workspace
from oms_core.workspace.check import check_workspace

_EMPTY = (
    "aaguids", "groups", "incompatible", "wallets", "assets", "address_book", "contracts", "credentials",
    "proposal_keys", "tags", "classes", "methods", "unwraps",
)  # fmt: skip
_DEFAULTS: dict[str, object] = {
    **dict.fromkeys(_EMPTY, ()),
    **dict.fromkeys(("parent", "site", "attestation", "code_hash", "audit", "tier", "protocol", "rules"), ""),
    **dict.fromkeys(("version", "audited_at", "expires_at", "usd_micro", "max_open_severity"), 0),
    "enabled": True,
    "revoked": False,
    "state": EntryState.ACTIVE.value,
}
_HEX = re.compile(r"(?:[0-9a-f]{2})*\Z")
_WHOLE = re.compile(r"(?:0|[1-9][0-9]{0,18})\Z")
_FLAGS = {"yes": True, "true": True, "no": False, "false": False}


def workspace_from_mapping(table: Mapping[str, object], zones: Iterable[Zone] = ()) -> Workspace:
    """Read and check a workspace. Raises `Malformed` naming the field, UNKNOWN_FIELD for a key that there is not."""
    if not isinstance(table, Mapping):
        raise Malformed("a workspace is not a table")
    made: Workspace = _Reader(table.get("created_at"), tuple(zones)).workspace(table)
    check_workspace(made)
    return made


def workspace_from_yaml(text: str, zones: Iterable[Zone] = ()) -> Workspace:
    """The same from YAML. Raises `Malformed` naming the line or the field."""
    plain = _plain(read_tree(text))
    return workspace_from_mapping(plain if isinstance(plain, dict) else [], zones)  # type: ignore[arg-type]


def workspace_to_mapping(workspace: Workspace) -> dict[str, Any]:
    """The tables that `workspace_from_mapping` reads as this workspace, given the same zones."""
    tables: dict[str, Any] = _written(workspace)
    tables["rules"] = rules_to_yaml(workspace.rules, workspace.assets)
    return tables


class _Unreadable(Malformed):
    """A value that is wrong in itself; whoever knows the field's name says it."""


class _Reader:
    """Reads tables by the annotations of the documents."""

    def __init__(self, created_at: object, zones: tuple[Zone, ...]) -> None:
        self._defaults = {**_DEFAULTS, "added_at": created_at}
        self._zones = zones

    def workspace(self, table: Mapping[str, object]) -> Any:
        """The rules come last: their units are the workspace's assets."""
        made = self._table(Workspace, {**table, "rules": []}, "")
        text = table.get("rules", "")
        if not isinstance(text, str):
            raise Malformed("rules: not a text of YAML")
        assets: tuple[Asset, ...] = made.assets
        try:
            rules = rules_from_yaml(text, assets, self._zones)
        except Malformed as error:
            raise Malformed(f"rules: {error.message}", error.reason) from None
        return Workspace(**{**{field.name: getattr(made, field.name) for field in fields(made)}, "rules": rules})

    def _table(self, kind: type[Any], value: object, where: str) -> Any:
        if not isinstance(value, Mapping):
            raise Malformed(f"{where or 'a workspace'} is not a table")
        hints = get_type_hints(kind)
        names = [field.name for field in fields(kind)]
        if unknown := sorted(str(key) for key in value if key not in names):
            raise Malformed(f"unknown key {_join(where, unknown[0][:64])}", Reason.UNKNOWN_FIELD)
        made = {}
        for name in names:
            if name not in value and name not in self._defaults:
                raise Malformed(f"{_join(where, name)} is missing")
            try:
                made[name] = self._value(hints[name], name, value.get(name, self._defaults.get(name)), where)
            except _Unreadable as error:
                raise Malformed(f"{_join(where, name)}: {error.message}", error.reason) from None
        return kind(**made)

    def _value(self, hint: Any, name: str, value: object, where: str) -> Any:
        if get_origin(hint) is tuple:
            if not isinstance(value, list | tuple):
                raise _Unreadable("not a list")
            item = get_args(hint)[0]
            return tuple(self._value(item, name, one, f"{_join(where, name)}[{at}]") for at, one in enumerate(value))
        if hint is Requirement:
            return _requirement(value)
        if is_dataclass(hint) and isinstance(hint, type):
            return self._table(hint, value, where)
        if hint is bytes:
            return _bytes(name, value)
        if isinstance(hint, type) and issubclass(hint, Enum):
            if value not in [choice.value for choice in hint]:
                raise _Unreadable(f"one of {', '.join(choice.value for choice in hint)}")
            return hint(value)
        if name == "usd_micro" and isinstance(value, str):
            return _readable(units.micro_usd, value)
        if type(value) is not hint:
            raise _Unreadable({int: "not an integer", bool: "neither true nor false"}.get(hint, "not text"))
        return value


def _readable(read: Any, value: str) -> Any:
    try:
        return read(value)
    except Malformed as error:
        raise _Unreadable(error.message, error.reason) from None


def _requirement(value: object) -> Requirement:
    """A text of YAML, or tables with the same keys."""
    if isinstance(value, str):
        return _readable(requirement_from_yaml, value)  # type: ignore[no-any-return]
    if not isinstance(value, Mapping):
        raise _Unreadable("neither a table nor a text of YAML")
    try:
        return requirement(_tree(value))
    except Malformed as error:
        raise _Unreadable(error.message, error.reason) from None


def _bytes(name: str, value: object) -> bytes:
    if not isinstance(value, str):
        raise _Unreadable("not text")
    if name == "address":
        return _readable(lambda text: parse_address(text, allow_lower=False), value)  # type: ignore[no-any-return]
    if not _HEX.match(value):
        raise _Unreadable("not lower-case hex, two digits a byte")
    return bytes.fromhex(value)


def _tree(value: object) -> Tree:
    """Tables as the readers of rules take them."""
    if isinstance(value, Mapping):
        entries = {str(key): _tree(one) for key, one in value.items()}
        return Table(1, entries, dict.fromkeys(entries, 1))
    if isinstance(value, list | tuple):
        return Items(1, tuple(_tree(one) for one in value))
    if isinstance(value, bool):
        return Scalar(1, "yes" if value else "no", False)
    return Scalar(1, str(value), False)


def _plain(tree: Tree) -> object:
    """YAML as tables: what is not quoted and looks like a number or a yes is one."""
    if isinstance(tree, Table):
        return {key: _plain(one) for key, one in tree.entries.items()}
    if isinstance(tree, Items):
        return [_plain(one) for one in tree.items]
    if tree.quoted:
        return tree.text
    return int(tree.text) if _WHOLE.match(tree.text) else _FLAGS.get(tree.text, tree.text)


def _written(value: Any, name: str = "") -> Any:
    if isinstance(value, Requirement):
        return requirement_to_yaml(value)
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _written(getattr(value, field.name), field.name) for field in fields(value)}
    if isinstance(value, tuple):
        return [] if name == "rules" else [_written(one, name) for one in value]
    if isinstance(value, bytes):
        return to_checksum(value) if name == "address" else value.hex()
    return value.value if isinstance(value, Enum) else value


def _join(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name
