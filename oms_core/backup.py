"""A node's backup of one share: what may be read without a key, and the share, sealed to its team's recovery key.

It holds no presignature, no ledger and no approval: a node that comes back from it has to be reconciled first.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from oms_core.crypto.shamir import check_indices, interpolate
from oms_core.encoding import decode, document, encode
from oms_core.errors import LocalError, Malformed, ProofInvalid, Reason
from oms_core.keys import KeyState
from oms_core.protocol.identity import Identity, verify_identity
from oms_core.protocol.packets import SUITE, kem_key
from oms_core.protocol.shares import Epoch, KeyMaterial, check_material

LIMIT = 4 << 20
RESTORABLE = frozenset(
    {KeyState.PRE_ACTIVE, KeyState.ACTIVE, KeyState.SUSPENDED, KeyState.DEACTIVATED, KeyState.COMPROMISED}
)


class BackupInvalid(Malformed):
    """A backup that cannot be used. The text names what does not fit."""

    default_reason = Reason.BACKUP_INVALID


@document("backup-label/1")
class Label:
    """What may be read of a backup; the share is sealed with all of it as associated information.

    ``state`` is the key's when the backup was made, ``recovery`` the X25519 key (32 bytes) that it is sealed to.
    """

    wallet_id: str
    level: str
    index: int
    state: KeyState
    drill: bool
    epoch: Epoch
    made_at: int
    recovery: bytes


@document("backup/1")
class Backup:
    """A label, and a `KeyMaterial` sealed by HPKE (RFC 9180)."""

    label: Label
    sealed: bytes


@document("signed-backup/1")
class SignedBackup:
    """A backup under the node's identity key, domain ``backup``."""

    backup: Backup
    signature: bytes


@document("drill-record/1")
class DrillRecord:
    """Backups of these nodes have signed: ``signature`` (an encoded `Signature`) is over the key's `drill_digest`."""

    wallet_id: str
    key_id: bytes
    epoch: int
    indices: tuple[int, ...]
    signature: bytes
    at: int


def seal_backup(
    material: KeyMaterial, wallet_id: str, state: KeyState, drill: bool, recovery: bytes, identity: Identity, at: int
) -> SignedBackup:
    """Seal a share to a recovery key. Raises `BackupInvalid` for what could not be restored."""
    label = Label(wallet_id, material.level, material.share.index, state, drill, material.public, at, recovery)
    check_label(label)
    _check_contents(label, material)
    try:
        key = kem_key(recovery)
    except ProofInvalid as error:
        raise BackupInvalid(f"the recovery key is no key: {error.message}") from error
    backup = Backup(label, SUITE.encrypt(encode(material), key, info=_info(label)))
    return SignedBackup(backup, identity.sign("backup", encode(backup)))


def read_backup(data: bytes, identity: bytes | None = None) -> SignedBackup:
    """A backup whose label holds together, and that ``identity`` has signed, if that is given.

    Raises `BackupInvalid`.
    """
    try:
        signed = decode(SignedBackup, data, LIMIT)
    except Malformed as error:
        raise BackupInvalid(f"it is no backup, or a damaged one: {error.message}") from error
    check_label(signed.backup.label)
    if identity is not None:
        try:
            verify_identity(identity, "backup", encode(signed.backup), signed.signature)
        except (ProofInvalid, Malformed) as error:
            text = "it is not signed by the identity key of this node, or was changed"
            raise BackupInvalid(text) from error
    return signed


def open_backup(signed: SignedBackup, recovery: X25519PrivateKey) -> KeyMaterial:
    """The share, if it is what the label says and fits to the public key. Raises `BackupInvalid`."""
    label = signed.backup.label
    check_label(label)
    if recovery.public_key().public_bytes_raw() != label.recovery:
        raise BackupInvalid("it is sealed to another recovery key")
    try:
        plain = SUITE.decrypt(signed.backup.sealed, recovery, info=_info(label))
    except (InvalidTag, ValueError):
        raise BackupInvalid("it does not open: its label or what is sealed was changed") from None
    try:
        material = decode(KeyMaterial, plain, LIMIT)
    except Malformed:
        raise BackupInvalid("what is sealed in it is no share") from None
    _check_contents(label, material)
    return material


def check_label(label: Label) -> None:
    """The public side holds together: all public shares lie on one polynomial that gives X. Raises `BackupInvalid`."""
    epoch, parties = label.epoch, label.epoch.parties
    _claim(label.state in RESTORABLE, f"a key that is {label.state} is not backed up")
    _claim(label.wallet_id != "", "the wallet has a name")
    try:
        check_indices(parties)
    except Malformed as error:
        raise BackupInvalid(f"the key's parties are out of shape: {error.message}") from error
    _claim(list(parties) == sorted(parties), "the key's parties ascend")
    _claim(2 <= epoch.threshold <= len(parties), "the threshold is between 2 and the number of parties")
    _claim(label.index in parties, f"node {label.index} is no party of the key")
    _claim(tuple(j for j, _ in epoch.roster) == parties, "the roster is of the key's parties")
    _claim(tuple(peer.index for peer in epoch.aux) == parties, "the moduli are of the key's parties")
    sizes = (len(epoch.key_id), len(epoch.rid), len(epoch.chain_code), len(label.recovery))
    _claim(sizes == (32, 32, 32, 32) and epoch.epoch >= 0, "ids and keys have 32 bytes, and an epoch is not negative")
    public = dict(epoch.public_shares)
    _claim(not any(X.is_identity for X in (epoch.public_key, *public.values())), "no public share is the identity")
    first = parties[: epoch.threshold - 1]
    for j in parties[epoch.threshold - 1 :]:
        together = {k: public[k] for k in (*first, j)}
        _claim(interpolate(together) == epoch.public_key, "the public shares lie on one polynomial that gives X")


def _check_contents(label: Label, material: KeyMaterial) -> None:
    """What is sealed is what the label says, and the secrets belong to the public values."""
    share, said = material.share, label.epoch
    _claim(share.key_id == said.key_id, "the share is of another key than its label says")
    _claim(share.epoch == said.epoch, f"the share is of epoch {share.epoch}, its label says epoch {said.epoch}")
    _claim(share.index == label.index, f"the share is of node {share.index}, its label says node {label.index}")
    _claim(material.level == label.level, f"the share is of level {material.level}, its label says {label.level}")
    _claim(share.public_key == said.public_key, "the share is of another public key than its label says")
    _claim(material.public == said, "the share's public data are others than its label says")
    try:
        check_material(material)
    except LocalError:
        raise BackupInvalid("the secrets do not belong to the public share and the moduli") from None


def _info(label: Label) -> bytes:
    return encode(["counterseal backup", 1, encode(label)])


def _claim(holds: bool, text: str) -> None:
    if not holds:
        raise BackupInvalid(text)
