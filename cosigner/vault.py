"""Sealed things: key material with its state, and the pinned workspace. All clear fields are bound as AEAD data."""

from __future__ import annotations

from enum import StrEnum

from sqlalchemy import Engine, insert, select, update

from cosigner.hsm import Token
from cosigner.store import sealed
from oms_core.encoding import decode, document, encode
from oms_core.errors import Conflict, LocalError, Malformed, NotFound, Reason, Refused
from oms_core.protocol.shares import KeyMaterial
from oms_core.workspace import Workspace, check_workspace, workspace_digest

_LIMIT = 4 << 20
_WORKSPACE = "workspace"


class KeyState(StrEnum):
    """A key's life at this node. Only ACTIVE keys sign transactions."""

    PENDING = "PENDING"
    PRE_ACTIVE = "PRE_ACTIVE"
    ACTIVE = "ACTIVE"


@document("sealed-clear/1")
class Clear:
    """The clear fields of a sealed thing; associated data of its encryption."""

    purpose: str
    index: int
    wallet_id: str
    key_id: bytes
    epoch: int
    state: str


class Vault:
    """What this node has sealed under its HSM's key. All methods may be called from any thread."""

    def __init__(self, engine: Engine, token: Token) -> None:
        self._engine, self._token = engine, token

    def pin_workspace(self, workspace: Workspace) -> None:
        """Pin version 0 for good. Raises `Conflict` if another one is pinned, `Malformed` for an unfit one."""
        check_workspace(workspace)
        try:
            pinned = self.workspace()
        except NotFound:
            self._insert(_WORKSPACE, self._clear("workspace", "", b"", 0, "PINNED"), encode(workspace))
            return
        if workspace_digest(pinned) != workspace_digest(workspace):
            raise Conflict("another workspace is pinned at this cosigner", Reason.POLICY_VERSION_MISMATCH)

    def workspace(self) -> Workspace:
        """The pinned workspace. Raises `NotFound` before the ceremony."""
        return decode(Workspace, self._read(_WORKSPACE)[1], _LIMIT)

    def put_key(self, wallet_id: str, material: KeyMaterial) -> None:
        """Seal new material as PENDING. Raises `Conflict` if the key exists."""
        share = material.share
        clear = self._clear("key", wallet_id, share.key_id, share.epoch, KeyState.PENDING)
        self._insert(_name(share.key_id), clear, encode(material))

    def advance_key(self, key_id: bytes, was: KeyState, to: KeyState) -> None:
        """Move a key from one state to another, once. Raises `Conflict` if it is not in the first."""
        clear, plain = self._read(_name(key_id))
        moved = self._clear("key", clear.wallet_id, key_id, clear.epoch, to)
        blob = self._token.seal(plain, encode(moved))
        with self._engine.begin() as connection:
            done = connection.execute(
                update(sealed)
                .where(sealed.c.name == _name(key_id), sealed.c.state == was)
                .values(state=to, clear=encode(moved), blob=blob)
            )
        if done.rowcount != 1:
            raise Conflict(f"the key is {clear.state}, not {was}", Reason.WRONG_STATE)

    def key(self, key_id: bytes, state: KeyState) -> tuple[Clear, KeyMaterial]:
        """Unseal material that is in ``state``. Raises `NotFound` (UNKNOWN_WALLET), `Refused` (WRONG_STATE)."""
        clear, plain = self._read(_name(key_id))
        if clear.state != state:
            raise Refused(f"the wallet's key is {clear.state}, not {state}", Reason.WRONG_STATE)
        return clear, decode(KeyMaterial, plain, _LIMIT)

    def find_key(self, wallet_id: str) -> bytes:
        """Key id of a wallet. Raises `NotFound` (UNKNOWN_WALLET)."""
        for clear in self.all_keys():
            if clear.wallet_id == wallet_id:
                return clear.key_id
        raise NotFound(f"no wallet {wallet_id[:64]!r} here", Reason.UNKNOWN_WALLET)

    def all_keys(self) -> list[Clear]:
        """Clear fields of all keys."""
        with self._engine.begin() as connection:
            rows = connection.execute(select(sealed.c.clear).where(sealed.c.name != _WORKSPACE)).all()
        return [decode(Clear, row.clear) for row in rows]

    def _clear(self, purpose: str, wallet_id: str, key_id: bytes, epoch: int, state: str) -> Clear:
        return Clear(purpose, self._token.index, wallet_id, key_id, epoch, str(state))

    def _insert(self, name: str, clear: Clear, plain: bytes) -> None:
        blob = self._token.seal(plain, encode(clear))
        row = {"name": name, "state": clear.state, "clear": encode(clear), "blob": blob}
        with self._engine.begin() as connection:
            if connection.execute(select(sealed.c.name).where(sealed.c.name == name)).first():
                raise Conflict("this key exists already", Reason.WRONG_STATE)
            connection.execute(insert(sealed).values(row))

    def _read(self, name: str) -> tuple[Clear, bytes]:
        with self._engine.begin() as connection:
            row = connection.execute(select(sealed).where(sealed.c.name == name)).first()
        if row is None:
            raise NotFound("no such wallet or workspace at this cosigner", Reason.UNKNOWN_WALLET)
        try:
            clear = decode(Clear, row.clear)
        except Malformed as error:
            raise LocalError("the store's clear fields are damaged", Reason.STORE_CORRUPT) from error
        expected = _WORKSPACE if clear.purpose == "workspace" else _name(clear.key_id)
        if (clear.index, clear.state, expected) != (self._token.index, row.state, name):
            raise LocalError("a sealed blob of another node, key or state", Reason.SHARE_AAD_MISMATCH)
        return clear, self._token.unseal(row.blob, row.clear)


def _name(key_id: bytes) -> str:
    return "key-" + key_id.hex()
