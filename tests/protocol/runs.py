"""Short ways to run each protocol through real channels, and to say what a run with a liar has to end with.

What a party holds after an abort goes through `verdicts`: each of its accusations is signed, written, read and judged
as a stranger would, so a liar that is named is also convicted before anybody.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from oms_core.crypto.params import TOY, Level
from oms_core.encoding import decode_one_of, encode
from oms_core.errors import ProtocolAbort, Unattributed
from oms_core.protocol.accuse import CASE_LIMIT, Accusation, Case, Equivocation, SignedCase, sign_case, unsigned_cases
from oms_core.protocol.auxinfo import auxinfo
from oms_core.protocol.create_key import acknowledge, confirmation
from oms_core.protocol.envelope import Channel
from oms_core.protocol.judge import Verdict, judge
from oms_core.protocol.keygen import keygen
from oms_core.protocol.packets import Resharing
from oms_core.protocol.presign import presign
from oms_core.protocol.reshare import reshare
from oms_core.protocol.rounds import Session, Steps
from oms_core.protocol.shares import Epoch, KeyMaterial, Presignature, PublicPresignature
from oms_core.protocol.sign import sign
from tests.parties import Lie, Outcome, Relay, arithmetic, both, channels, identity, key, roster, run, start
from tests.primes import primes
from tests.protocol import lies

ALL = (1, 2, 3)
HONEST = {1, 2}
LIAR = 3
DIGEST = bytes(range(32))

Liars = Mapping[int, Lie] | None


@dataclass
class Held(Outcome):
    """An outcome, with the public data that its spec names by hash."""

    epoch: Epoch | None = None
    presignature: PublicPresignature | None = None


def play(
    protocol: Callable[[Session], Steps[Any]],
    /,
    liars: Liars = None,
    parties: tuple[int, ...] = ALL,
    relay: Relay | None = None,
    epoch: Epoch | None = None,
    presignature: PublicPresignature | None = None,
    level: Level = TOY,
    **spec: Any,
) -> Held:
    """All parties run it, through channels of a fresh session with this spec, which names epoch and presignature."""
    if epoch is not None:
        spec = {"key_id": epoch.key_id, "epoch": epoch.epoch, "epoch_hash": epoch.hash, **spec}
    if presignature is not None:
        spec = {"presignature": presignature.id, **spec}
    made = channels(parties, level, **spec)
    outcome = run({i: protocol(session) for i, session in start(made).items()}, liars, made, relay)
    return Held(outcome.results, outcome.errors, outcome.spoke, made, epoch, presignature)


def run_keygen(
    liars: Liars = None, threshold: int = 2, parties: tuple[int, ...] = ALL, relay: Relay | None = None
) -> Held:
    everyone = roster(parties)
    spec = {"protocol": "create", "threshold": threshold if 2 <= threshold <= len(parties) else 2}
    return play(lambda s: keygen(s, b"k" * 32, threshold, everyone), liars, parties, relay, **spec)


def run_auxinfo(liars: Liars = None, parties: tuple[int, ...] = ALL, relay: Relay | None = None) -> Held:
    return play(lambda s: auxinfo(s, primes(TOY, s.me)), liars, parties, relay, protocol="create")


def presigning(session: Session, path: tuple[int, ...] = (), level: Level = TOY) -> Steps[Presignature]:
    """With the key 2 of 3."""
    return presign(session, key(3, 2, level)[session.me].share, arithmetic(3, 2, session.me, level), path)


def signing(session: Session, path: tuple[int, ...] = (), level: Level = TOY) -> Steps[Any]:
    """With the key 2 of 3: presigning and signing in one session."""
    presignature = yield from presigning(session, path, level)
    return (yield from sign(session, presignature, DIGEST))


def of_key(level: Level = TOY, path: tuple[int, ...] = ()) -> dict[str, Any]:
    """The spec of a session that uses the key 2 of 3, and its epoch."""
    return {"protocol": "sign", "epoch": key(3, 2, level)[1].public, "path": path, "digest": DIGEST, "level": level}


def run_presign(
    liars: Liars = None,
    parties: tuple[int, ...] = ALL,
    relay: Relay | None = None,
    path: tuple[int, ...] = (),
    level: Level = TOY,
) -> Held:
    return play(lambda s: presigning(s, path, level), liars, parties, relay, **of_key(level, path))


def run_signing(liars: Liars = None, parties: tuple[int, ...] = ALL, relay: Relay | None = None) -> Held:
    return play(signing, liars, parties, relay, **of_key())


def run_acknowledge(liars: Liars = None, relay: Relay | None = None) -> Held:
    return play(lambda s: acknowledge(s, confirmation("treasury", material(s.me))), liars, relay=relay)


def run_reshare(
    new: Resharing, n: int = 3, t: int = 2, liars: Liars = None, relay: Relay | None = None, dealt: Any = None
) -> Held:
    """The key t of n is dealt anew. ``dealt`` are the shares that the dealers use, by default those of the key."""
    held = key(n, t)
    shares = dealt or {i: held[i].share for i in new.dealers}
    epoch, parties = held[1].public, tuple(sorted({*new.dealers, *new.receivers}))
    return play(
        lambda s: reshare(s, epoch, new, shares.get(s.me), roster(new.receivers)),
        liars,
        parties,
        relay,
        epoch,
        protocol="reshare",
        threshold=t,
        resharing=new,
    )


def resharing(dealers: tuple[int, ...], receivers: tuple[int, ...], threshold: int, epoch: int = 1) -> Resharing:
    """What is dealt by whom to whom."""
    return Resharing(dealers, receivers, threshold, epoch, aux=b"a" * 32)


def run_refresh(liars: Liars = None, relay: Relay | None = None) -> Held:
    """The key 2 of 3, from all its holders to themselves."""
    return run_reshare(resharing(ALL, ALL, 2), liars=liars, relay=relay)


def run_alert(
    name: str, liar: int = LIAR, parties: tuple[int, ...] = ALL, level: Level = TOY, more: Lie | None = None
) -> Held:
    """A presigning whose sums do not fit, by a liar that goes on as if it had not known: ``name`` is nonce or chi."""
    wrong = lies.wrong_delta if name == "nonce" else lies.wrong_chi
    return run_presign({liar: wrong() if more is None else both(wrong(), more)}, parties, level=level)


def material(i: int) -> KeyMaterial:
    return key(3, 2)[i]


def convicted(
    outcome: Held, step: str, reason: str, by: set[int] = HONEST, liar: int = LIAR, offline: bool = True
) -> None:
    """All in ``by`` name the liar and nobody else, at this step, for this reason; nobody honest got a result.

    And what each of them holds convicts the liar before a judge, who finds the same; unless ``offline`` is false, where
    the step cannot be judged from public data: then nothing that it holds convicts anybody.
    """
    honest = set(outcome.channels) - {liar}
    for i in by:
        assert i in outcome.errors, f"party {i} noticed nothing: it has {outcome.results.get(i)!r}"
        assert [(b.culprit, b.step) for b in outcome.errors[i].blames] == [(liar, step)], outcome.errors[i]
        assert reason in outcome.errors[i].message
    assert outcome.culprits(honest) == {liar}
    assert not honest & set(outcome.results)
    for i in by:
        blames = [Verdict(b.culprit, b.step, b.reason) for b in outcome.errors[i].blames]
        assert verdicts(outcome, i) == (blames if offline else [false(outcome, i, liar)])


def unattributed(outcome: Held, text: str, by: set[int] = HONEST) -> None:
    """All in ``by`` give up without naming anybody, and hold nothing that could be said of anybody."""
    _gave_up(outcome, text, by)
    assert all(verdicts(outcome, i) == [] for i in by)


def exposed(outcome: Held, text: str, step: str, reason: str, by: set[int] = HONEST) -> None:
    """All in ``by`` give up without naming anybody; yet what each holds by itself convicts the liar, and only it."""
    _gave_up(outcome, text, by)
    for i in by:
        found = verdicts(outcome, i)
        assert {verdict.culprit for verdict in found} == {LIAR}
        assert Verdict(LIAR, step, reason) in found


def _gave_up(outcome: Held, text: str, by: set[int]) -> None:
    for i in by:
        assert isinstance(outcome.errors[i], Unattributed), outcome.results
        assert text in outcome.errors[i].message
    assert outcome.culprits(by) == set()
    assert not by & set(outcome.results)


def false(outcome: Held, i: int, accused: int) -> Verdict:
    """Whoever accuses without being able to prove it is convicted itself. Honest parties ask `convict` first."""
    [verdict] = verdicts(outcome, i)
    assert verdict.culprit == i
    assert verdict.step == "accusation"
    assert verdict.reason.startswith(f"accuses party {accused} falsely: ")
    return verdict


def verdicts(outcome: Held, i: int) -> list[Verdict]:
    """What a judge finds of all that party i could say after its run, by what i alone holds."""
    return tried(outcome.channels[i], outcome.errors[i], outcome.epoch, outcome.presignature)


def tried(
    channel: Channel, error: ProtocolAbort, epoch: Epoch | None = None, presignature: PublicPresignature | None = None
) -> list[Verdict]:
    """Signs every case, writes it, reads it back and puts it to a judge."""
    parties = channel.spec.parties
    found = []
    for case in unsigned_cases(channel, error, epoch, presignature):
        data = encode(signed(case))
        shows_no_secret(data, channel, case)
        found.append(judge(read(data), roster(parties), channel._level))
    return found


def signed(case: Case | Equivocation) -> Accusation:
    return sign_case(case, identity(case.accuser)) if isinstance(case, Case) else case


def read(data: bytes) -> Accusation:
    kinds: Any = (SignedCase, Equivocation)
    accusation: Accusation = decode_one_of(kinds, data, CASE_LIMIT)
    return accusation


def shows_no_secret(data: bytes, channel: Channel, case: Case | Equivocation) -> None:
    """The accuser's share, primes and identity key are not in its evidence; of its sealing keys just the one."""
    me = channel.index
    secrets = [identity(me)._key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())]
    secrets.append(_bytes(identity(me)._key.private_numbers().private_value))
    opened = case.accused if isinstance(case, Case) else None
    secrets += [kem.private_bytes_raw() for j, kem in channel._kems.items() if j != opened]
    secrets += [_bytes(prime) for prime in primes(channel._level, me)]
    if me in ALL:
        secrets += [_bytes(key(3, 2, channel._level)[me].share.secret)]
    assert not any(secret in data for secret in secrets)


def _bytes(number: int) -> bytes:
    number = int(number)
    return number.to_bytes((number.bit_length() + 7) // 8, "big")
