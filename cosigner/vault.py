"""Sealed things: key material by epoch with its state, moduli that wait for their share, and the workspace.

All clear fields are bound as AEAD data. Each epoch of a key is sealed under an HSM key of its own, and is destroyed by
destroying that. A wallet has at most one epoch that is not PENDING: the one that counts.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from sqlalchemy import Connection, Engine, delete, select, update
from sqlalchemy.dialects.sqlite import insert

from cosigner.hsm import Token
from cosigner.store import erasing, gone, sealed
from cosigner.versions import Versions
from oms_core.encoding import decode, document, encode
from oms_core.errors import Conflict, LocalError, Malformed, NotFound, Reason, Refused
from oms_core.keys import MAX_EPOCH, KeyState, advance
from oms_core.protocol.shares import AuxInfo, KeyMaterial
from oms_core.workspace import Workspace, workspace_digest
from oms_core.workspace.check import check_workspace

_LIMIT = 4 << 20
_WORKSPACE = "workspace"
Also = Callable[[Connection], None]


@document("sealed-clear/1")
class Clear:
    """The clear fields of a sealed thing; associated data of its encryption."""

    purpose: str
    index: int
    wallet_id: str
    key_id: bytes
    epoch: int
    state: str
    drill: bool


@document("sealed-aux/1")
class SealedAux:
    """Moduli that wait for a share of ``epoch``."""

    level: str
    aux: AuxInfo


class Vault:
    """What this node has sealed under its HSM's keys. All methods may be called from any thread."""

    def __init__(self, engine: Engine, token: Token) -> None:
        self._engine, self._token = engine, token
        self._turn = threading.Lock()
        self.versions = Versions(engine, token, self._pinned)

    def pin_workspace(self, workspace: Workspace) -> None:
        """Pin the version that the chain begins with here, for good: 0 at the ceremony, a later one for a new node.

        Raises `Conflict` if another one is pinned, `Malformed` for an unfit one.
        """
        check_workspace(workspace)
        try:
            pinned = self._pinned()
        except NotFound:
            self._insert(self._clear("workspace", "", b"", 0, "PINNED"), encode(workspace))
            return
        if workspace_digest(pinned) != workspace_digest(workspace):
            raise Conflict("another workspace is pinned at this cosigner", Reason.POLICY_VERSION_MISMATCH)

    def workspace(self) -> Workspace:
        """The version of the workspace that counts. Raises `NotFound` before the ceremony."""
        return self.versions.current()

    def older(self) -> Mapping[bytes, Workspace]:
        """The versions before it, by digest: for approvals that were given under them."""
        return self.versions.before(self.versions.current())

    def check_workspace(self, connection: Connection, workspace: Workspace) -> None:
        """Inside a transaction: this version still counts. Raises `Refused` (POLICY_VERSION_MISMATCH)."""
        self.versions.check(connection, workspace)

    def _pinned(self) -> Workspace:
        return decode(Workspace, self._read(_WORKSPACE)[1], _LIMIT)

    def put_key(
        self, wallet_id: str, material: KeyMaterial, state: KeyState = KeyState.PENDING, drill: bool = False
    ) -> None:
        """Seal new material; ``drill``: to be active, backups of it have to have signed.

        Raises `Conflict` if this epoch of the key exists, or another one counts already.
        """
        share = material.share
        if state is not KeyState.PENDING and any(c.wallet_id == wallet_id for c in self.all_keys()):
            raise Conflict(f"wallet {wallet_id} has a key here already", Reason.WRONG_STATE)
        self._insert(self._clear("key", wallet_id, share.key_id, share.epoch, state, drill), encode(material))

    def put_new_key(self, wallet_id: str, material: KeyMaterial, drill: bool) -> None:
        """Seal the material of a key that is being made, in the place of an attempt that came to nothing.

        What is PENDING this node has never confirmed, so nobody can rely on it. Raises `Conflict` if the key is here in
        any other state, or was.
        """
        with self._engine.begin() as connection:
            clears = self._clears(connection, material.share.key_id)
            if any(clear.state != KeyState.PENDING for clear in clears):
                raise Conflict("the key was made already", Reason.WRONG_STATE)
            self._delete(connection, clears)
        self.finish_erasing()
        self.put_key(wallet_id, material, drill=drill)

    def check_sealed(self, connection: Connection, material: KeyMaterial) -> None:
        """Inside a transaction: what is sealed of this epoch is this, and not what another session has put there.

        Raises `Conflict` (WRONG_STATE).
        """
        name = _name("key", material.share.key_id, material.share.epoch)
        row = connection.execute(select(sealed).where(sealed.c.name == name)).first()
        if row is None or self._token.unseal(row.blob, row.clear, _under(decode(Clear, row.clear))) != encode(material):
            raise Conflict("another session has made the key meanwhile", Reason.WRONG_STATE)

    def check_restorable(self, wallet_id: str, material: KeyMaterial) -> None:
        """Whether `restore_key` would take it.

        Raises `Refused` (EPOCH_STALE) if this epoch of the key, or a later one, is here; `Conflict` for another key.
        """
        share, held = material.share, self.all_keys(pending=True)
        if any(clear.wallet_id == wallet_id and clear.key_id != share.key_id for clear in held):
            raise Conflict(f"wallet {wallet_id} has another key here", Reason.WRONG_STATE)
        newest = max((clear.epoch for clear in held if clear.key_id == share.key_id), default=-1)
        if newest >= share.epoch:
            raise Refused(f"epoch {newest} of this key is here, the backup is of {share.epoch}", Reason.EPOCH_STALE)

    def restore_key(self, wallet_id: str, material: KeyMaterial, state: KeyState, drill: bool) -> None:
        """Seal material of a backup under a fresh HSM key, in the state that it had; epochs before it are destroyed.

        Raises as `check_restorable`.
        """
        self.check_restorable(wallet_id, material)
        share = material.share
        self.finish_erasing()
        self.destroy_epochs(share.key_id, share.epoch)
        self._token.destroy(_under(self._clear("key", wallet_id, share.key_id, share.epoch, state, drill)))
        self.put_key(wallet_id, material, state, drill)

    def put_aux(self, wallet_id: str, key_id: bytes, epoch: int, aux: SealedAux) -> None:
        """Seal moduli for an epoch to come."""
        self._insert(self._clear("aux", wallet_id, key_id, epoch, KeyState.PENDING), encode(aux))

    def aux(self, key_id: bytes, epoch: int) -> SealedAux:
        """The moduli made for an epoch to come. Raises `NotFound`."""
        return decode(SealedAux, self._read(_name("aux", key_id, epoch))[1], _LIMIT)

    def advance_key(self, key_id: bytes, epoch: int, was: KeyState, to: KeyState, also: Also | None = None) -> None:
        """Move an epoch from one state to another, once, and do ``also`` in the same transaction.

        To DESTROYED go all epochs of the key, those that are pending, too, and none is ever taken again. Raises
        `Conflict` if the epoch is not in the first state, `Refused` (WRONG_STATE) if there is no such transition.
        """
        advance(was, to)
        with self._engine.begin() as connection:
            clears = self._clears(connection, key_id)
            clear = next((c for c in clears if (c.purpose, c.epoch) == ("key", epoch)), None)
            if clear is None or clear.state != was:
                raise Conflict(f"the key is {clear.state if clear else 'not here'}, not {was}", Reason.WRONG_STATE)
            if to is KeyState.DESTROYED:
                self._delete(connection, clears)
                _set_gone(connection, key_id, MAX_EPOCH)
            else:
                self._check_alone(connection, clear)
                self._move(connection, clear, to)
            if also:
                also(connection)
        self.finish_erasing()

    def note(self, also: Also) -> None:
        """Do this in a transaction of its own."""
        with self._engine.begin() as connection:
            also(connection)

    def commit_epoch(
        self, key_id: bytes, epoch: int, also: Also | None = None, fresh: KeyState = KeyState.ACTIVE
    ) -> None:
        """Make a pending epoch the one that counts, and destroy all before it.

        The new one takes the old one's state over, or is in ``fresh`` where there was none. Raises `NotFound` if it is
        not here, `Refused` (EPOCH_STALE) if a later one counts, `Conflict` if another key of the wallet does.
        """
        with self._engine.begin() as connection:
            clears = self._clears(connection, key_id)
            mine = next((c for c in clears if (c.purpose, c.epoch) == ("key", epoch)), None)
            if mine is None:
                raise NotFound("no such epoch of this key here", Reason.UNKNOWN_WALLET)
            counted = [c for c in clears if c.purpose == "key" and c.state != KeyState.PENDING]
            if mine.state == KeyState.PENDING:
                if any(c.epoch > epoch for c in counted):
                    raise Refused("a later epoch of this key counts here", Reason.EPOCH_STALE)
                self._check_alone(connection, mine)
                self._move(connection, mine, KeyState(counted[0].state) if counted else fresh)
            self._delete(connection, [c for c in clears if c.epoch < epoch])
            connection.execute(delete(sealed).where(sealed.c.name == _name("aux", key_id, epoch)))
            _set_gone(connection, key_id, epoch - 1)
            if also:
                also(connection)
        self.finish_erasing()

    def destroy_epochs(self, key_id: bytes, below: int, also: Also | None = None) -> None:
        """Destroy all epochs before ``below``, for a node that is not in the new committee."""
        with self._engine.begin() as connection:
            self._delete(connection, [c for c in self._clears(connection, key_id) if c.epoch < below])
            _set_gone(connection, key_id, below - 1)
            if also:
                also(connection)
        self.finish_erasing()

    def check_state(self, connection: Connection, key_id: bytes, epoch: int, *states: KeyState) -> None:
        """Inside a transaction: this epoch counts, and is in one of these states. Raises `Refused`."""
        held = [c for c in self._clears(connection, key_id) if c.purpose == "key" and c.state != KeyState.PENDING]
        if not held or held[0].epoch != epoch:
            raise Refused("the key has another epoch by now", Reason.EPOCH_STALE)
        if KeyState(held[0].state) not in states:
            raise Refused(f"the wallet's key is {held[0].state}, not {states[0]}", Reason.WRONG_STATE)

    def newest_epochs(self) -> dict[bytes, int]:
        """`newest_epoch` of every key of which anything is or was here."""
        with self._engine.begin() as connection:
            names = connection.execute(select(sealed.c.name).where(sealed.c.name != _WORKSPACE)).scalars().all()
            over = connection.execute(select(gone.c.key_id)).scalars().all()
        keys = {bytes.fromhex(name.split("-")[1]) for name in names} | {bytes(key_id) for key_id in over}
        return {key_id: self.newest_epoch(key_id) for key_id in sorted(keys)}

    def blocked(self, key_id: bytes) -> tuple[int, set[int]]:
        """(highest number of a share that is or was here, numbers of moduli that wait): what no attempt may take."""
        with self._engine.begin() as connection:
            held = self._clears(connection, key_id)
            below = connection.execute(select(gone.c.epoch).filter_by(key_id=key_id)).scalar()
        shares = [clear.epoch for clear in held if clear.purpose == "key"]
        newest = max([*shares, -1 if below is None else int(below)])
        return newest, {clear.epoch for clear in held if clear.purpose == "aux"}

    def newest_epoch(self, key_id: bytes) -> int:
        """The highest epoch of a key that was ever here, pending or moduli alone included; -1 if there was none."""
        newest, moduli = self.blocked(key_id)
        return max({newest, *moduli})

    def key(self, key_id: bytes, *states: KeyState) -> tuple[Clear, KeyMaterial]:
        """Unseal the epoch that counts. Raises `NotFound` (UNKNOWN_WALLET), `Refused` (WRONG_STATE)."""
        for clear in self.all_keys():
            if clear.key_id == key_id:
                if KeyState(clear.state) not in states:
                    raise Refused(f"the wallet's key is {clear.state}, not {states[0]}", Reason.WRONG_STATE)
                return clear, self.epoch(key_id, clear.epoch)
        raise NotFound("no such key at this cosigner", Reason.UNKNOWN_WALLET)

    def epoch(self, key_id: bytes, epoch: int) -> KeyMaterial:
        """Unseal one epoch, in whatever state. Raises `NotFound`."""
        return decode(KeyMaterial, self._read(_name("key", key_id, epoch))[1], _LIMIT)

    def find_key(self, wallet_id: str) -> Clear:
        """The key of a wallet that counts. Raises `NotFound` (UNKNOWN_WALLET)."""
        for clear in self.all_keys():
            if clear.wallet_id == wallet_id:
                return clear
        raise NotFound(f"no wallet {wallet_id[:64]!r} here", Reason.UNKNOWN_WALLET)

    def all_keys(self, pending: bool = False) -> list[Clear]:
        """Clear fields of the epochs that count; with ``pending`` of all."""
        with self._engine.begin() as connection:
            rows = connection.execute(select(sealed.c.clear).where(sealed.c.name.like("key-%"))).all()
        found = [decode(Clear, row.clear) for row in rows]
        return [clear for clear in found if pending or clear.state != KeyState.PENDING]

    def _clear(self, purpose: str, wallet_id: str, key_id: bytes, epoch: int, state: str, drill: bool = False) -> Clear:
        return Clear(purpose, self._token.index, wallet_id, key_id, epoch, str(state), drill)

    def _insert(self, clear: Clear, plain: bytes) -> None:
        name, encoded = _name_of(clear), encode(clear)
        row = {"name": name, "wallet_id": clear.wallet_id, "state": clear.state, "clear": encoded}
        with self._engine.begin() as connection:
            if connection.execute(select(sealed.c.name).where(sealed.c.name == name)).first():
                raise Conflict("this epoch of the key exists already", Reason.WRONG_STATE)
            below = connection.execute(select(gone.c.epoch).filter_by(key_id=clear.key_id)).scalar()
            if clear.key_id and below is not None and clear.epoch <= below:
                raise Refused(f"epoch {clear.epoch} of this key is gone here", Reason.EPOCH_STALE)
            # Sealed only now: for what is refused no key is made in the HSM.
            blob = self._token.seal(plain, encoded, _under(clear))
            connection.execute(insert(sealed).values({**row, "blob": blob}))

    def _move(self, connection: Connection, clear: Clear, to: KeyState) -> None:
        """Seal an epoch again in another state, inside a transaction that has seen it in ``clear``'s."""
        name, moved = _name_of(clear), replace(clear, state=str(to))
        row = connection.execute(select(sealed).where(sealed.c.name == name)).one()
        plain = self._token.unseal(row.blob, row.clear, _under(clear))
        blob = self._token.seal(plain, encode(moved), _under(moved))
        change = update(sealed).where(sealed.c.name == name)
        connection.execute(change.values(state=to, clear=encode(moved), blob=blob))

    def _check_alone(self, connection: Connection, clear: Clear) -> None:
        """A wallet has one key that counts. Raises `Conflict`."""
        query = select(sealed.c.clear).where(sealed.c.wallet_id == clear.wallet_id, sealed.c.name.like("key-%"))
        others = [decode(Clear, data) for data in connection.execute(query).scalars()]
        if any(c.key_id != clear.key_id and c.state != KeyState.PENDING for c in others):
            raise Conflict(f"wallet {clear.wallet_id} has a key here already", Reason.WRONG_STATE)

    def _clears(self, connection: Connection, key_id: bytes) -> list[Clear]:
        """All that is here of a key: shares of every epoch, and moduli."""
        like = (sealed.c.name.like(f"key-{key_id.hex()}-%")) | (sealed.c.name.like(f"aux-{key_id.hex()}-%"))
        return [decode(Clear, data) for data in connection.execute(select(sealed.c.clear).where(like)).scalars()]

    def _delete(self, connection: Connection, clears: Iterable[Clear]) -> None:
        for clear in clears:
            names = [_name(purpose, clear.key_id, clear.epoch) for purpose in ("key", "aux")]
            connection.execute(delete(sealed).where(sealed.c.name.in_(names)))
            connection.execute(insert(erasing).values(label=_under(clear)).on_conflict_do_nothing())

    def _erase(self, clears: list[Clear], also: Also | None = None) -> None:
        """Rows, what the log still holds of them, and the HSM's keys, without which copies elsewhere do not open."""
        with self._engine.begin() as connection:
            self._delete(connection, clears)
            if also:
                also(connection)
        self.finish_erasing()

    def finish_erasing(self) -> None:
        """Destroy the HSM's keys of what the store has let go of; after a crash in between, at the next start.

        One after the other: the label of a key that is made once more is destroyed before it is given out again.
        """
        with self._turn:
            with self._engine.begin() as connection:
                labels = connection.execute(select(erasing.c.label)).scalars().all()
            if not labels:
                return
            with self._engine.connect() as connection:
                connection.exec_driver_sql("COMMIT")
                connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
            for label in labels:
                self._token.destroy(label)
            with self._engine.begin() as connection:
                connection.execute(delete(erasing).where(erasing.c.label.in_(labels)))

    def _read(self, name: str) -> tuple[Clear, bytes]:
        with self._engine.begin() as connection:
            row = connection.execute(select(sealed).where(sealed.c.name == name)).first()
        if row is None:
            raise NotFound("no such wallet or workspace at this cosigner", Reason.UNKNOWN_WALLET)
        try:
            clear = decode(Clear, row.clear)
        except Malformed as error:
            raise LocalError("the store's clear fields are damaged", Reason.STORE_CORRUPT) from error
        if (clear.index, clear.state, _name_of(clear)) != (self._token.index, row.state, name):
            raise LocalError("a sealed blob of another node, key or state", Reason.SHARE_AAD_MISMATCH)
        return clear, self._token.unseal(row.blob, row.clear, _under(clear))


def _name_of(clear: Clear) -> str:
    return _WORKSPACE if clear.purpose == "workspace" else _name(clear.purpose, clear.key_id, clear.epoch)


def _name(purpose: str, key_id: bytes, epoch: int) -> str:
    return f"{purpose}-{key_id.hex()}-{epoch}"


def _under(clear: Clear) -> str:
    """The label of the HSM key that seals this; the workspace needs none of its own."""
    return f"{clear.key_id.hex()}-{clear.epoch}" if clear.key_id else ""


def _set_gone(connection: Connection, key_id: bytes, epoch: int) -> None:
    """No epoch of this key up to this one is ever taken again here."""
    held = connection.execute(select(gone.c.epoch).filter_by(key_id=key_id)).scalar()
    values = {"key_id": key_id, "epoch": max(epoch, -1 if held is None else int(held))}
    change = insert(gone).values(values)
    connection.execute(change.on_conflict_do_update(index_elements=["key_id"], set_=values))
