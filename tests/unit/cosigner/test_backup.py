"""A backup opens to exactly the share that its label names, or not at all; and then it says what does not fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from oms_core.backup import (
    SUITE,
    Backup,
    BackupInvalid,
    Label,
    SignedBackup,
    _info,
    check_label,
    open_backup,
    read_backup,
    seal_backup,
)
from oms_core.crypto.curve import IDENTITY, G, Q
from oms_core.encoding import decode, document, encode
from oms_core.errors import Reason
from oms_core.keys import KeyState
from oms_core.protocol.shares import KeyMaterial
from tests.parties import identity
from tests.people import NOW
from tests.unit.cosigner.epochs import dealt
from tests.unit.cosigner.node import material

RECOVERY = X25519PrivateKey.generate()
PUBLIC = RECOVERY.public_key().public_bytes_raw()


def made(secret: KeyMaterial | None = None, state: KeyState = KeyState.ACTIVE, by: int = 1) -> SignedBackup:
    return seal_backup(secret or material(), "wal_1", state, False, PUBLIC, identity(by), NOW)


def resealed(label: Label, secret: object) -> SignedBackup:
    """A backup that its node has signed over whatever is in it."""
    backup = Backup(label, SUITE.encrypt(encode(secret), RECOVERY.public_key(), info=_info(label)))
    return SignedBackup(backup, identity(1).sign("backup", encode(backup)))


def relabelled(**changes: object) -> SignedBackup:
    return resealed(replace(made().backup.label, **changes), material())  # type: ignore[arg-type]


def refused(go: Callable[[], object]) -> str:
    with pytest.raises(BackupInvalid) as caught:
        go()
    assert caught.value.reason == Reason.BACKUP_INVALID
    return caught.value.message


def opened(signed: SignedBackup, recovery: X25519PrivateKey = RECOVERY) -> KeyMaterial:
    return open_backup(read_backup(encode(signed), identity(1).public), recovery)


@pytest.mark.parametrize("state", [KeyState.PRE_ACTIVE, KeyState.ACTIVE, KeyState.SUSPENDED, KeyState.COMPROMISED])
def test_what_was_sealed_is_opened_with_the_state_that_it_had(state: KeyState) -> None:
    signed = made(state=state)
    assert opened(signed) == material()
    assert signed.backup.label.state == state
    assert signed.backup.label.epoch == material().public


@pytest.mark.parametrize("state", [KeyState.PENDING, KeyState.DESTROYED])
def test_what_does_not_count_or_is_destroyed_is_not_backed_up(state: KeyState) -> None:
    assert f"a key that is {state} is not backed up" in refused(lambda: made(state=state))


def test_a_share_that_does_not_belong_to_its_public_values_is_not_backed_up() -> None:
    own = material()
    bad = replace(own, share=replace(own.share, secret=(own.share.secret + 1) % Q))
    assert "the secrets do not belong" in refused(lambda: made(bad))


@pytest.mark.parametrize("key", [bytes(32), b"short", b""])
def test_nothing_is_sealed_to_what_is_no_key(key: bytes) -> None:
    refused(lambda: seal_backup(material(), "wal_1", KeyState.ACTIVE, False, key, identity(1), NOW))


def test_no_byte_of_a_backup_can_be_changed_unnoticed() -> None:
    data = encode(made())
    for at in [*range(0, len(data), 97), len(data) - 1, len(data) - 70]:
        bent = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        refused(lambda bent=bent: read_backup(bent, identity(1).public))  # type: ignore[misc]
    for short in (b"", data[:-1], data + b"0", data[1:]):
        refused(lambda short=short: read_backup(short, identity(1).public))  # type: ignore[misc]


def test_a_label_that_was_changed_does_not_open_even_if_nobody_asks_for_the_signature() -> None:
    backup = made().backup
    for changes in ({"state": KeyState.SUSPENDED}, {"wallet_id": "wal_2"}, {"made_at": NOW + 1}, {"drill": True}):
        label = replace(backup.label, **changes)  # type: ignore[arg-type]
        signed = SignedBackup(replace(backup, label=label), b"")
        assert "its label or what is sealed was changed" in refused(lambda s=signed: open_backup(s, RECOVERY))  # type: ignore[misc]


def test_a_backup_of_another_node_is_not_accepted_as_ones_own() -> None:
    data = encode(made(by=2))
    assert "not signed by the identity key" in refused(lambda: read_backup(data, identity(1).public))
    assert read_backup(data) == decode(SignedBackup, data)


def test_a_backup_opens_with_its_own_recovery_key_only() -> None:
    assert "another recovery key" in refused(lambda: opened(made(), X25519PrivateKey.generate()))


@pytest.mark.parametrize(
    ("secret", "text"),
    [
        (dealt()[1], "the share is of epoch 1, its label says epoch 0"),
        (material(2), "the share is of node 2, its label says node 1"),
        (replace(material(), level="L128"), "the share is of level L128, its label says L112"),
        (replace(material(), share=replace(material().share, key_id=bytes(32))), "of another key than its label says"),
        (replace(material(), share=replace(material().share, public_key=G)), "of another public key"),
        (replace(material(), share=replace(material().share, rid=bytes(32))), "public data are others"),
        (replace(material(), share=replace(material().share, secret=5)), "the secrets do not belong"),
        (replace(material(), aux=replace(material().aux, primes=material(2).aux.primes)), "the secrets do not belong"),
        (replace(material(), aux=replace(material().aux, lam=1)), "the secrets do not belong"),
        (replace(material(), aux=replace(material().aux, rho=bytes(32))), "public data are others"),
    ],
)
def test_what_is_sealed_under_a_wrong_label_is_named(secret: KeyMaterial, text: str) -> None:
    assert text in refused(lambda: opened(resealed(made().backup.label, secret)))


@document("test-other/1")
class Other:
    """No share."""

    value: int


def test_what_is_no_share_is_not_taken_for_one() -> None:
    assert "no share" in refused(lambda: opened(resealed(made().backup.label, Other(1))))


EPOCH = material().public
SHARES = EPOCH.public_shares


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"public_shares": (*SHARES[:4], (5, SHARES[4][1] + G))}, "lie on one polynomial"),
        ({"public_shares": ((1, SHARES[0][1] + G), *SHARES[1:])}, "lie on one polynomial"),
        ({"public_key": EPOCH.public_key + G}, "lie on one polynomial"),
        ({"threshold": 2}, "lie on one polynomial"),
        ({"public_shares": SHARES[:4]}, "the roster is of the key's parties"),
        ({"public_shares": (*SHARES[:4], (4, SHARES[4][1]))}, "out of shape"),
        ({"public_shares": ((0, SHARES[0][1]), *SHARES[1:])}, "out of shape"),
        ({"public_shares": SHARES[::-1]}, "ascend"),
        ({"public_shares": (*SHARES[:4], (5, IDENTITY))}, "identity"),
        ({"threshold": 6}, "the threshold"),
        ({"threshold": 1}, "the threshold"),
        ({"aux": EPOCH.aux[:4]}, "the moduli are of the key's parties"),
        ({"chain_code": b""}, "32 bytes"),
        ({"epoch": -1}, "not negative"),
    ],
)
def test_public_data_that_do_not_hold_together_are_refused_without_any_key(
    changes: dict[str, object], text: str
) -> None:
    label = replace(made().backup.label, epoch=replace(EPOCH, **changes))  # type: ignore[arg-type]
    signed = resealed(label, material())
    for go in (lambda: check_label(label), lambda: read_backup(encode(signed)), lambda: open_backup(signed, RECOVERY)):
        assert text in refused(go)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"index": 6}, "node 6 is no party"),
        ({"wallet_id": ""}, "the wallet has a name"),
        ({"recovery": b""}, "32 bytes"),
    ],
)
def test_a_label_out_of_shape_is_refused(changes: dict[str, object], text: str) -> None:
    assert text in refused(lambda: read_backup(encode(relabelled(**changes))))


def test_a_higher_threshold_than_the_keys_is_noticed_by_the_share_alone() -> None:
    label = replace(made().backup.label, epoch=replace(EPOCH, threshold=4))
    check_label(label)  # four of the points lie on the polynomial as well as three
    assert "public data are others" in refused(lambda: opened(resealed(label, material())))


def test_a_backup_shows_no_secret() -> None:
    signed, secret = made(), material()
    data, shown = encode(signed), repr(signed)
    for number in (secret.share.secret, *secret.aux.primes, secret.aux.lam):
        assert number.to_bytes((number.bit_length() + 7) // 8, "big") not in data
        assert str(number) not in shown
