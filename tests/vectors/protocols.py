"""One file per protocol: every message of every party, what they come to, and all secrets behind them.

Party i of a file draws from the stream `<file> party <i>`. The files build on one another: what `keygen` and `auxinfo`
end with is what `presign-sign`, `nonce-alert` and `reshare` start from.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from oms_core.crypto.bip32 import derive, tweak
from oms_core.crypto.curve import Point, Q, mul_base, total
from oms_core.crypto.params import TOY
from oms_core.encoding import decode
from oms_core.protocol import keygen, presign_rounds, reshare, sign
from oms_core.protocol.auxinfo import auxinfo
from oms_core.protocol.packets import Resharing
from oms_core.protocol.presign import presign
from oms_core.protocol.presign_rounds import additive_shares
from oms_core.protocol.rounds import Inbox, Outgoing, Party, Round, Session, Steps
from oms_core.protocol.shares import AuxInfo, KeyShare, Moduli, Presignature, PublicPresignature, aux_digest
from tests.parties import Lie, Outcome, run
from tests.primes import primes
from tests.protocol.lies import wrong_delta
from tests.vectors.stream import Stream, seeded
from tests.vectors.written import Json, document, shown, sizes

HOLDERS = (1, 2, 3)
QUORUM = (1, 3)
THRESHOLD = 2
KEY_ID = hashlib.sha256(b"counterseal vectors key").digest()
PATH = (7, 0, 2**31 - 1)
DIGEST = hashlib.sha256(b"counterseal vectors message").digest()
LIAR = 3


@dataclass
class Played:
    """One run: everybody's stream and messages, and how it ended."""

    name: str
    parties: tuple[Party, ...]
    streams: dict[Party, Stream]
    steps: list[str] = field(default_factory=list)
    said: dict[tuple[str, Party], bytes] = field(default_factory=dict)
    told: dict[tuple[str, Party, Party], bytes] = field(default_factory=dict)
    outcome: Outcome = field(default_factory=Outcome)

    def broadcast(self, made: Round[Any, Any]) -> dict[Party, Any]:
        """What all said in a round."""
        return {j: decode(made.broadcast, self.said[made.step, j]) for j in self.parties}

    @property
    def rounds(self) -> Json:
        """All messages, by step and sender."""
        return [{"step": step, "messages": [self._message(step, j) for j in self.parties]} for step in self.steps]

    def _message(self, step: str, j: Party) -> Json:
        message: Json = {"from": j, "broadcast": self.said[step, j].hex()}
        direct = {str(to): data.hex() for (at, by, to), data in sorted(self.told.items()) if (at, by) == (step, j)}
        return {**message, "direct": direct} if direct else message

    def written(self, inputs: Json, public: Json, outputs: Json) -> Json:
        """The file."""
        return {
            "protocol": self.name,
            "level": sizes(TOY),
            "streams": {s.label: [shown(value) for value in s.drawn] for s in self.streams.values()},
            "inputs": {"ssid": ssid(self.name).hex(), "parties": list(self.parties), **inputs},
            "rounds": self.rounds,
            "public": public,
            "outputs": outputs,
        }


def ssid(name: str) -> bytes:
    """The fixed session id of a file."""
    return hashlib.shake_256(f"counterseal vectors ssid {name}".encode()).digest(64)


def identity_scalar(party: Party) -> int:
    """A party's P-256 identity key, for everybody to see."""
    return int.from_bytes(hashlib.sha256(f"counterseal vectors identity {party}".encode()).digest(), "big")


def roster() -> dict[Party, bytes]:
    """Everybody's identity key, 65 bytes."""
    keys = {j: ec.derive_private_key(identity_scalar(j), ec.SECP256R1()).public_key() for j in HOLDERS}
    return {j: key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint) for j, key in keys.items()}


def sessions(name: str, parties: tuple[Party, ...]) -> dict[Party, Session]:
    """Everybody's end of a file's session."""
    return {i: Session(ssid(name), i, parties, TOY) for i in parties}


def play(name: str, protocols: Mapping[Party, Steps[Any]], liars: Mapping[Party, Lie] | None = None) -> Played:
    """Run to the end, each party on its own stream. A liar's words are taken from those who heard them."""
    liars = liars or {}
    streams = {i: Stream(f"{name} party {i}") for i in protocols}
    played = Played(name, tuple(protocols), streams)
    _continue(played, protocols, liars)
    return played


def _continue(played: Played, protocols: Mapping[Party, Steps[Any]], liars: Mapping[Party, Lie]) -> None:
    noted: dict[Party, Any] = {i: _Noted(played, i, steps, liars) for i, steps in protocols.items()}
    played.outcome = run(noted, liars)


class _Noted:
    """A party's protocol on the party's own stream, with what it says, and hears of liars, written down."""

    def __init__(self, played: Played, me: Party, protocol: Steps[Any], liars: Mapping[Party, Lie]) -> None:
        self._played, self._me, self._protocol, self._liars = played, me, protocol, liars
        self._out: Outgoing | None = None

    def __next__(self) -> Outgoing:
        return self.send(None)

    def send(self, inbox: Inbox | None) -> Outgoing:
        if inbox is not None and self._me not in self._liars:
            for j in sorted(set(inbox) & set(self._liars)):
                heard = inbox[j]
                assert self._out is not None
                direct = {} if heard.direct is None else {self._me: heard.direct}
                _note(self._played, j, replace(self._out, broadcast=heard.broadcast, direct=direct))
        with seeded(self._played.streams[self._me]):
            self._out = self._protocol.send(inbox)  # type: ignore[arg-type]
        if self._me not in self._liars:
            _note(self._played, self._me, self._out)
        return self._out

    def __getattr__(self, name: str) -> Any:
        return getattr(self._protocol, name)  # a lie may look at the protocol's variables


def _note(played: Played, sender: Party, out: Outgoing) -> None:
    if out.step not in played.steps:
        played.steps.append(out.step)
    assert out.broadcast is not None
    assert played.said.setdefault((out.step, sender), out.broadcast) == out.broadcast
    played.told.update({(out.step, sender, to): data for to, data in out.direct.items()})


@cache
def played_keygen() -> Played:
    """2 of 3."""
    made = sessions("keygen", HOLDERS)
    return play("keygen", {i: keygen.keygen(made[i], KEY_ID, THRESHOLD, roster()) for i in HOLDERS})


@cache
def played_auxinfo() -> Played:
    """Moduli of all three holders."""
    made = sessions("auxinfo", HOLDERS)
    return play("auxinfo", {i: auxinfo(made[i], primes(TOY, i)) for i in HOLDERS})


def shares() -> dict[Party, KeyShare]:
    """What key generation ended with."""
    return played_keygen().outcome.results


def auxes() -> dict[Party, AuxInfo]:
    """What auxiliary information ended with."""
    return played_auxinfo().outcome.results


def keygen_file() -> Json:
    """Key generation."""
    played = played_keygen()
    share, reveals = shares()[1], played.broadcast(keygen.REVEAL)
    return played.written(
        {"threshold": THRESHOLD, "key_id": KEY_ID.hex(), "roster": shown(list(share.roster))},
        {
            "rid": share.rid.hex(),
            "chain_code": share.chain_code.hex(),
            "F": [shown(total(reveal.F[k] for reveal in reveals.values())) for k in range(THRESHOLD)],
            "public_key": shown(share.public_key),
            "public_shares": shown(share.public_shares),
        },
        {str(i): document(share) for i, share in shares().items()},
    )


def auxinfo_file() -> Json:
    """Auxiliary information."""
    made = auxes()
    return played_auxinfo().written(
        {"primes": {str(i): [hex(p) for p in aux.primes] for i, aux in made.items()}},
        {"rho": made[1].rho.hex(), "moduli": shown(made[1].public), "digest": aux_digest(made[1]).hex()},
        {str(i): document(aux) for i, aux in made.items()},
    )


def _presigning(name: str, liars: Mapping[Party, Lie] | None = None) -> Played:
    made = sessions(name, QUORUM)
    own = {i: Moduli(i, TOY, auxes()[i]) for i in QUORUM}
    return play(name, {i: presign(made[i], shares()[i], own[i], PATH) for i in QUORUM}, liars)


def _key() -> Json:
    """What a quorum starts from: the key, the path, the additive shares that follow from both."""
    epoch = shares()[1].public(auxes()[1])
    W, X = additive_shares(epoch, QUORUM, PATH)
    return {
        "epoch": document(epoch),
        "epoch_hash": epoch.hash.hex(),
        "path": list(PATH),
        "tweak": shown(tweak(epoch.public_key, epoch.chain_code, PATH)),
        "child": document(derive(epoch.public_key, epoch.chain_code, PATH)),
        "public_key": shown(X),
        "additive_public_shares": {str(j): shown(point) for j, point in W.items()},
        "key_shares": {str(i): shown(shares()[i].secret) for i in QUORUM},
    }


def _sums(played: Played) -> Json:
    """Γ, δ and both sides of the two checks."""
    second, third = played.broadcast(presign_rounds.SECOND), played.broadcast(presign_rounds.THIRD)
    delta = sum(m.delta for m in third.values()) % Q
    return {
        "Gamma": shown(total(m.Gamma for m in second.values())),
        "delta": shown(delta),
        "delta_G": shown(mul_base(delta)),
        "sum_of_Delta": shown(total(m.Delta for m in third.values())),
        "delta_X": shown(delta * _child()),
        "sum_of_S": shown(total(m.S for m in third.values())),
    }


def _child() -> Point:
    share = shares()[1]
    return derive(share.public_key, share.chain_code, PATH).public_key


@cache
def played_presigning() -> tuple[Played, PublicPresignature, dict[Party, tuple[int, int]]]:
    """A presignature and then a signature in one session; what the presignature was, before it was used up."""
    played = _presigning("presign-sign")
    made: dict[Party, Presignature] = played.outcome.results
    public, kept = made[QUORUM[0]].public, {i: one.secret[0] for i, one in made.items()}
    session = sessions("presign-sign", QUORUM)
    _continue(played, {i: sign.sign(session[i], made[i], DIGEST) for i in QUORUM}, {})
    return played, public, kept


def presign_sign_file() -> Json:
    """A presignature of two for a path, and the signature that is made with it."""
    played, public, kept = played_presigning()
    signature = played.outcome.results[QUORUM[0]]
    return played.written(
        {**_key(), "digest": DIGEST.hex()},
        {**_sums(played), "presignature": document(public), "presignature_id": public.id.hex()},
        {
            "presignature_secrets": {str(i): {"k": shown(k), "chi": shown(chi)} for i, (k, chi) in kept.items()},
            "sigma": {str(i): shown(share.sigma) for i, share in played.broadcast(sign.SHARE).items()},
            "signature": {"r": shown(signature.r), "s": shown(signature.s), "recovery_id": signature.v},
        },
    )


def nonce_alert_file() -> Json:
    """The liar announces its δ plus one; all open what they multiplied, and it is named."""
    played = _presigning("nonce-alert", {LIAR: wrong_delta()})
    verdicts = {
        str(i): [{"culprit": b.culprit, "step": b.step, "claim": b.reason} for b in error.blames]
        for i, error in played.outcome.errors.items()
        if i != LIAR
    }
    return played.written({**_key(), "liar": LIAR}, _sums(played), {"verdicts": verdicts})


def reshare_file() -> Json:
    """A refresh: all holders deal the same key to themselves."""
    aux = auxes()[1]
    new = Resharing(HOLDERS, HOLDERS, THRESHOLD, 1, aux_digest(aux))
    session, old = sessions("reshare", HOLDERS), shares()
    epoch = old[1].public(aux)
    played = play("reshare", {i: reshare.reshare(session[i], epoch, new, old[i], roster()) for i in HOLDERS})
    made: dict[Party, KeyShare] = played.outcome.results
    return played.written(
        {
            "epoch": document(epoch),
            "resharing": document(new),
            "roster": shown(list(old[1].roster)),
            "key_shares": {str(i): shown(share.secret) for i, share in old.items()},
        },
        {
            "openings": made[1].rid.hex(),
            "public_key": shown(made[1].public_key),
            "public_shares": shown(made[1].public_shares),
        },
        {str(i): document(share) for i, share in made.items()},
    )


PROTOCOLS = {
    "keygen": keygen_file,
    "auxinfo": auxinfo_file,
    "presign-sign": presign_sign_file,
    "nonce-alert": nonce_alert_file,
    "reshare": reshare_file,
}
