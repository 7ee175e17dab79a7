"""What a party holds after key generation, and after presigning. Secrets have no repr and are not pickled."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import NoReturn

from oms_core.crypto.bip32 import derive
from oms_core.crypto.curve import Point, mul_base
from oms_core.crypto.paillier import PaillierPublic, PaillierSecret
from oms_core.crypto.params import Level, level
from oms_core.crypto.pedersen import PedersenPublic, PedersenSecret, PedersenTabled
from oms_core.encoding import digest, document, encode
from oms_core.errors import Conflict, LocalError, Malformed, ProofInvalid, Reason
from oms_core.protocol.identity import verify_identity


class _Secret:
    """Mixin for documents with secrets: readable by the vault's encoding alone."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"{type(self).__name__} is not pickled")


@document("key-share/1")
class KeyShare(_Secret):
    """One party's share x_i of a key X, with the public shares X_l of all (ascending by index). Scalars mod q.

    ``roster`` are (index, identity key); ``rid`` and ``chain_code`` have 32 bytes.
    """

    key_id: bytes
    epoch: int
    threshold: int
    index: int
    secret: int
    public_key: Point
    public_shares: tuple[tuple[int, Point], ...]
    rid: bytes
    chain_code: bytes
    roster: tuple[tuple[int, bytes], ...]

    __repr__ = _Secret.__repr__

    @property
    def parties(self) -> tuple[int, ...]:
        """All holders, ascending."""
        return tuple(j for j, _ in self.public_shares)

    def public(self, aux: AuxInfo) -> Epoch:
        """Everything of this epoch that is no secret."""
        return Epoch(
            key_id=self.key_id,
            epoch=self.epoch,
            threshold=self.threshold,
            public_key=self.public_key,
            public_shares=self.public_shares,
            rid=self.rid,
            chain_code=self.chain_code,
            roster=self.roster,
            aux=aux.public,
            rho=aux.rho,
        )


@document("peer-aux/1")
class PeerAux:
    """A party's public moduli."""

    index: int
    paillier: PaillierPublic
    pedersen: PedersenPublic


@document("aux-info/1")
class AuxInfo(_Secret):
    """My moduli's factors (p, q, p̂, q̂) with t and λ, everyone's public moduli, and the common ρ (32 bytes)."""

    index: int
    primes: tuple[int, int, int, int]
    t: int
    lam: int
    public: tuple[PeerAux, ...]
    rho: bytes

    __repr__ = _Secret.__repr__


@document("epoch/1")
class Epoch:
    """What all holders know of a key in one epoch: enough to check everything that they say in its sessions."""

    key_id: bytes
    epoch: int
    threshold: int
    public_key: Point
    public_shares: tuple[tuple[int, Point], ...]
    rid: bytes
    chain_code: bytes
    roster: tuple[tuple[int, bytes], ...]
    aux: tuple[PeerAux, ...]
    rho: bytes

    @property
    def parties(self) -> tuple[int, ...]:
        """All holders, ascending."""
        return tuple(j for j, _ in self.public_shares)

    @property
    def hash(self) -> bytes:
        """32 bytes that stand for it in session ids (spec §2.2)."""
        return digest("epoch", self)


@document("key-material/1")
class KeyMaterial(_Secret):
    """What the vault seals: a share and the auxiliary information it signs with, at a level (L112 or L128)."""

    level: str
    share: KeyShare
    aux: AuxInfo

    __repr__ = _Secret.__repr__

    @property
    def epoch_hash(self) -> bytes:
        """32 bytes that stand for everything public about this epoch of the key (spec §2.2)."""
        return self.public.hash

    @property
    def public(self) -> Epoch:
        """Everything of this epoch that is no secret."""
        return self.share.public(self.aux)


@dataclass(frozen=True)
class Moduli:
    """The arithmetic behind an `AuxInfo`: my keys with their factors, my peers' with tables. Kept in memory."""

    index: int
    level: Level
    aux: AuxInfo = field(repr=False)

    @cached_property
    def paillier(self) -> PaillierSecret:
        """My Paillier key."""
        return PaillierSecret(*self.aux.primes[:2])

    @cached_property
    def pedersen(self) -> PedersenSecret:
        """My ring-Pedersen key."""
        return PedersenSecret(*self.aux.primes[2:], self.aux.t, self.aux.lam)

    @cached_property
    def their_pedersen(self) -> dict[int, PedersenPublic]:
        """Peers' ring-Pedersen keys, with tables of their powers."""
        return {p.index: PedersenTabled(p.pedersen, self.level) for p in self.aux.public if p.index != self.index}


def moduli(material: KeyMaterial) -> Moduli:
    """The arithmetic of stored material.

    Raises `Malformed` for a level that is not to be used, `LocalError` (STORE_CORRUPT) for material that does not fit.
    """
    size = level(material.level)
    check_material(material)
    if any(prime.bit_length() != size.prime_bits for prime in material.aux.primes):
        raise LocalError("stored key material is of another level than it says", Reason.STORE_CORRUPT)
    return Moduli(material.share.index, size, material.aux)


def check_material(material: KeyMaterial) -> None:
    """The secrets belong to the public values beside them. Raises `LocalError` (STORE_CORRUPT)."""
    share, aux = material.share, material.aux
    p, q, p_hat, q_hat = aux.primes
    public = {peer.index: peer for peer in aux.public}
    mine = public.get(share.index)
    fits = (
        aux.index == share.index
        and tuple(public) == share.parties == tuple(j for j, _ in share.roster)
        and mul_base(share.secret) == dict(share.public_shares).get(share.index)
        and mine is not None
        and p * q == mine.paillier.N
        and mine.pedersen == PedersenSecret(p_hat, q_hat, aux.t, aux.lam)
    )
    if not fits:
        raise LocalError("stored key material does not fit together", Reason.STORE_CORRUPT)


def aux_digest(aux: AuxInfo) -> bytes:
    """32 bytes that stand for everyone's moduli."""
    return digest("moduli", aux.public, aux.rho)


def child_key(material: KeyMaterial, path: tuple[int, ...]) -> Point:
    """The public key at a path. Raises `Malformed`."""
    return derive(material.share.public_key, material.share.chain_code, path).public_key


@document("key-confirmation/1")
class KeyConfirmation:
    """A party's word that a key exists as described. All parties' words differ in ``index`` alone."""

    wallet_id: str
    key_id: bytes
    public_key: Point
    chain_code: bytes
    epoch: int
    transcript: bytes
    index: int


@document("signed-confirmation/1")
class SignedConfirmation:
    """A confirmation under the identity key, domain ``key-confirmation``."""

    confirmation: KeyConfirmation
    signature: bytes


def check_confirmations(confirmations: tuple[SignedConfirmation, ...], roster: dict[int, bytes]) -> KeyConfirmation:
    """One valid confirmation of each party in ``roster`` (index to identity key), all about the same key.

    Raises `ProofInvalid` or `Malformed`. Returns one of them.
    """
    if sorted(signed.confirmation.index for signed in confirmations) != sorted(roster):
        raise Malformed("a key is confirmed once by each of its parties")
    subjects = set()
    for signed in confirmations:
        said = signed.confirmation
        verify_identity(roster[said.index], "key-confirmation", encode(said), signed.signature)
        subjects.add((said.wallet_id, said.key_id, said.public_key, said.chain_code, said.epoch, said.transcript))
    if len(subjects) != 1:
        raise ProofInvalid("all parties confirm the same key")
    return confirmations[0].confirmation


@document("presignature/1")
class PublicPresignature:
    """What its quorum, in ``ssid``, agreed on: nonce point Γ, each one's commitments Δ̃ and S̃ to its k̃ and χ̃."""

    ssid: bytes
    key_id: bytes
    epoch: int
    path: tuple[int, ...]
    public_key: Point
    Gamma: Point
    Delta: tuple[tuple[int, Point], ...]
    S: tuple[tuple[int, Point], ...]

    @property
    def id(self) -> bytes:
        """32 bytes that stand for it."""
        return digest("presignature", self)

    @property
    def quorum(self) -> tuple[int, ...]:
        """Who made it, ascending: all of them sign with it, or nobody."""
        return tuple(j for j, _ in self.Delta)


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Presignature(_Secret):
    """For one signature of one quorum under one path, in memory only."""

    public: PublicPresignature
    secret: list[tuple[int, int]]
    """My (k̃, χ̃), until `take`."""

    def take(self) -> tuple[int, int]:
        """My (k̃, χ̃), to the first who asks, in whatever thread. Raises `Conflict` (DOUBLE_SIGN_GUARD) ever after.

        Two signatures from one presignature give the key away (rule R18).
        """
        try:
            return self.secret.pop()
        except IndexError:
            raise Conflict("the presignature is used up", Reason.DOUBLE_SIGN_GUARD) from None
