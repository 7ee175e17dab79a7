"""The tests' key dealt anew, what its holders confirm, and what it signs: all in this process."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from coincurve import PrivateKey

from oms_core.crypto.curve import Q
from oms_core.crypto.ecdsa import Signature
from oms_core.crypto.shamir import lagrange
from oms_core.encoding import encode
from oms_core.evidence import drill_digest, probe_digest
from oms_core.protocol.create_key import confirmation
from oms_core.protocol.packets import Resharing
from oms_core.protocol.reshare import reshare
from oms_core.protocol.shares import KeyConfirmation, KeyMaterial, SignedConfirmation
from tests.parties import identity, roster, run, sessions
from tests.unit.cosigner.node import KEY_ID, material

ALL = (1, 2, 3, 4, 5)


@cache
def dealt(epoch: int = 1, receivers: tuple[int, ...] = ALL, threshold: int = 3) -> dict[int, KeyMaterial]:
    """A later epoch of the tests' key, by its receivers."""
    parties = tuple(sorted({*ALL, *receivers}))
    resharing, made = Resharing(ALL, receivers, threshold, epoch, bytes(32)), sessions(parties)
    old = material().public
    shares = {j: material(j).share if j in ALL else None for j in parties}
    outcome = run({j: reshare(made[j], old, resharing, shares[j], roster(receivers)) for j in parties})
    assert not outcome.errors, outcome.errors
    aux = {j: material(j).aux for j in receivers}
    public = tuple(peer for peer in material().aux.public if peer.index in receivers)
    return {j: KeyMaterial("L112", outcome.results[j], replace(aux[j], public=public)) for j in receivers}


def confirmed(by: int, said: KeyConfirmation) -> bytes:
    """One party's word."""
    return encode(SignedConfirmation(said, identity(by).sign("key-confirmation", encode(said))))


def certificate(materials: dict[int, KeyMaterial], wallet_id: str = "wal_1") -> tuple[bytes, ...]:
    """Everybody's word."""
    return tuple(confirmed(j, confirmation(wallet_id, made)) for j, made in materials.items())


@cache
def originals() -> dict[int, KeyMaterial]:
    """Epoch 0, by its holders."""
    return {j: material(j) for j in ALL}


def signed(digest: bytes) -> bytes:
    """A signature under the tests' key, whose shares are all here."""
    secret = sum(material(j).share.secret * lagrange(j, (1, 2, 3)) for j in (1, 2, 3)) % Q
    made = PrivateKey(secret.to_bytes(32, "big")).sign_recoverable(digest, hasher=None)
    return encode(Signature(int.from_bytes(made[:32], "big"), int.from_bytes(made[32:64], "big"), made[64]))


def probe() -> bytes:
    """The signature that a new key gives."""
    return signed(probe_digest(KEY_ID, material().share.public_key.to_bytes()))


def drill(epoch: int = 0) -> bytes:
    """The signature that restored backups give."""
    return signed(drill_digest(KEY_ID, epoch, material().share.public_key.to_bytes()))
