"""Backups of this node's shares, and the way back from one: into a node that is known to be its newest copy.

A backup is sealed to its team's recovery key, which is kept offline. Nothing here prints, logs or writes a share but
into the token's vault.
"""

from __future__ import annotations

import os
import socket
import stat
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from sqlalchemy import Engine

from cosigner.boots import Boots
from cosigner.config import Config
from cosigner.hsm import Token
from cosigner.ledger import Ledger
from cosigner.store import open_store
from cosigner.vault import Clear, Vault
from oms_core.backup import LIMIT, BackupInvalid, Label, open_backup, read_backup, seal_backup
from oms_core.encoding import decode_one_of, encode
from oms_core.errors import Conflict, CountersealError, LocalError, NotFound, Reason, Refused
from oms_core.keys import KeyState
from oms_core.protocol.accuse import CASE_LIMIT, Equivocation, SignedCase
from oms_core.protocol.judge import judge
from oms_core.workspace import Workspace, identities

MEANING = """\
seen:   {seen}
means:  this node runs from an older copy of its disk or token, its disk was lost, or a second copy of it runs.
        What it signed since that copy, it does not know. So it has refused everything.
if you reconcile: it takes part again as a newer boot. Orders and changes proposed before now are refused for good.
        Presignatures are lost. Before you say yes: stop every other copy, and compare the keys' states and epochs
        below with what your peers' status shows; a key that they have suspended is to be suspended here again."""
_SECRET, _PUBLIC = "counterseal-recovery-secret-1:", "counterseal-recovery-public-1:"


def new_recovery_key(path: Path) -> Path:
    """Make a recovery key: the secret in ``path`` (mode 0600), the public part beside it in ``path``.pub.

    Raises `LocalError` if a file is there. Returns the public part's path.
    """
    secret = X25519PrivateKey.generate()
    public = path.with_name(path.name + ".pub")
    if public.exists():
        raise LocalError(f"{public.name} exists already", Reason.CONFIG_INVALID)
    write_new(path, f"{_SECRET}{secret.private_bytes_raw().hex()}\n".encode())
    write_new(public, f"{_PUBLIC}{secret.public_key().public_bytes_raw().hex()}\n".encode())
    return public


def read_recovery_public(path: Path) -> bytes:
    """The key that backups are sealed to. Raises `LocalError` (CONFIG_INVALID)."""
    return _read_key(path, _PUBLIC, "public part of a recovery key")


def read_recovery_secret(path: Path) -> X25519PrivateKey:
    """The key that opens backups. Raises `LocalError` (CONFIG_INVALID), also if others may read the file."""
    try:
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise LocalError(f"{path.name} can be read by others; chmod 600 it", Reason.CONFIG_INVALID)
    except OSError:
        raise LocalError(f"{path.name} cannot be read", Reason.CONFIG_INVALID) from None
    return X25519PrivateKey.from_private_bytes(_read_key(path, _SECRET, "recovery key"))


def read_file(path: Path) -> bytes:
    """A backup's bytes. Raises `BackupInvalid` for what cannot be one."""
    try:
        if path.stat().st_size > LIMIT:
            raise BackupInvalid(f"{path.name} is too large for a backup")
        return path.read_bytes()
    except OSError as error:
        raise BackupInvalid(f"{path.name} cannot be read: {error.strerror}") from None


_ACCUSATIONS: tuple[type[Any], ...] = (SignedCase, Equivocation)


@dataclass(frozen=True, slots=True)
class Stopped:
    """The parts of a node whose enclave does not run, for what its operator does to it. Use as a context."""

    config: Config
    token: Token
    store: Engine
    vault: Vault
    ledger: Ledger
    boots: Boots

    def __enter__(self) -> Stopped:
        return self

    def __exit__(self, *_: object) -> None:
        self.store.dispose()
        self.token.close()


def open_node(config: Config, running: bool = False) -> Stopped:
    """Open token and store without counting a start. Raises `Refused` if the enclave runs, unless it may."""
    if not running and _answers(config.socket):
        raise Refused("the enclave runs; stop it first", Reason.WRONG_STATE)
    token = Token(config.hsm, config.index)
    store = open_store(config.store)
    return Stopped(config, token, store, Vault(store, token), Ledger(store), Boots(store, token))


def back_up(node: Stopped, wallet_id: str, recovery: Path, to: Path) -> Label:
    """Write a backup of the wallet's key that counts here to a new file; of the only wallet if none is named.

    Raises `Refused` (ROLLBACK_DETECTED) on a node that is not its newest copy, `NotFound`, `Conflict`, `LocalError`.
    """
    check_newest(node)
    clear = _find(node.vault, wallet_id)
    material = node.vault.epoch(clear.key_id, clear.epoch)
    public, state = read_recovery_public(recovery), KeyState(clear.state)
    made = seal_backup(material, clear.wallet_id, state, clear.drill, public, node.token, int(time.time()))
    write_new(to, encode(made))
    return read_backup(read_file(to), node.token.public).backup.label


def restore(node: Stopped, data: bytes, recovery: X25519PrivateKey, signer: bytes, dry_run: bool) -> Label:
    """Put the share of a backup back under a fresh HSM key, in the state that it had, ACTIVE ones SUSPENDED.

    ``signer``: who has to have signed the backup; the node itself if empty.

    Raises `Refused` (ROLLBACK_DETECTED) before the node is reconciled, `Refused` (EPOCH_STALE) if this epoch or a
    later one is here or was destroyed here, and `BackupInvalid`. With ``dry_run`` it only says whether it would.
    """
    check_newest(node)
    signed = read_backup(data, signer or node.token.public)
    label = signed.backup.label
    if label.index != node.config.index:
        raise BackupInvalid(f"it is of node {label.index}, this is node {node.config.index}")
    material = open_backup(signed, recovery)
    share = material.share
    if node.ledger.destroyed(share.key_id) >= share.epoch:
        raise Refused(f"epoch {share.epoch} of this key was destroyed here", Reason.EPOCH_STALE)
    node.vault.check_restorable(label.wallet_id, material)
    # What has happened to the key since the backup is not known here: it signs again when people resume it.
    state = KeyState.SUSPENDED if label.state is KeyState.ACTIVE else label.state
    if not dry_run:
        node.vault.restore_key(label.wallet_id, material, state, label.drill)
        node.vault.note(node.boots.count)
        node.boots.settle()
        if node.vault.epoch(share.key_id, share.epoch) != material:
            raise LocalError("the vault does not give back what was put in", Reason.STORE_CORRUPT)
    return replace(label, state=state)


def told_of(evidence: bytes, versions: Iterable[Workspace]) -> str:
    """What evidence shows, judged once more, under the roster of the newest of these versions that it holds under."""
    why = "no workspace is pinned"
    for version in versions:
        try:
            verdict = judge(decode_one_of(_ACCUSATIONS, evidence, CASE_LIMIT), identities(version))
        except CountersealError as error:
            why = error.message
        else:
            return f"at {verdict.step}: {verdict.reason}"
    return f"the evidence cannot be judged here: {why}"


def check_newest(node: Stopped) -> None:
    """Raises `Refused` (ROLLBACK_DETECTED) unless this node may well be the newest copy of itself."""
    if why := node.boots.suspicion():
        raise Refused(f"{why}. See `cosigner reconcile`", Reason.ROLLBACK_DETECTED)


def _find(vault: Vault, wallet_id: str) -> Clear:
    if wallet_id:
        return vault.find_key(wallet_id)
    held = vault.all_keys()
    if not held:
        raise NotFound("there is no key here", Reason.UNKNOWN_WALLET)
    if len(held) > 1:
        names = ", ".join(sorted(clear.wallet_id for clear in held))
        raise Conflict(f"name one of the wallets by --wallet: {names}", Reason.UNKNOWN_WALLET)
    return held[0]


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True


def _read_key(path: Path, prefix: str, what: str) -> bytes:
    try:
        text = path.read_text().strip()
        key = bytes.fromhex(text.removeprefix(prefix))
    except (OSError, ValueError):
        raise LocalError(f"{path.name} cannot be read as the {what}", Reason.CONFIG_INVALID) from None
    if not text.startswith(prefix) or len(key) != 32:
        raise LocalError(f"{path.name} is not the {what}", Reason.CONFIG_INVALID)
    return key


def write_new(path: Path, data: bytes) -> None:
    """A new file of mode 0600, on disk when this returns. Raises `LocalError` if it is there already."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except FileExistsError:
        raise LocalError(f"{path.name} exists already", Reason.CONFIG_INVALID) from None
    except OSError as error:
        raise LocalError(f"cannot write {path.name}: {error.strerror}", Reason.CONFIG_INVALID) from None
