"""Each field of each message of every protocol, mutated: the receiver refuses it, at whatever place it is."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any

import pytest

from oms_core.crypto.curve import IDENTITY, G, Point, Q
from oms_core.crypto.paillier import PaillierPublic
from oms_core.crypto.params import L112, TOY, Level
from oms_core.crypto.pedersen import PedersenPublic
from oms_core.encoding import encode
from oms_core.errors import Malformed, ProofInvalid
from oms_core.protocol import auxinfo, keygen, presign_rounds, reshare, sign
from oms_core.protocol.packets import Resharing
from oms_core.protocol.presign import presign
from oms_core.protocol.rounds import Echo, Record, Round, keep
from tests.parties import arithmetic, key, roster, run, sessions
from tests.primes import primes

ALL = (1, 2, 3)
Leaf = tuple[str, ...]


def leaves(value: Any, path: Leaf = ()) -> Iterator[tuple[Leaf, Any]]:
    """Every value inside a document, with the way to it.

    Not those that a round's own check cannot see: `check_echo` holds an echo, and a sum is held by its alert.
    """
    if isinstance(value, Echo) or path in (("delta",), ("S",)):
        return
    if is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            yield from leaves(getattr(value, field.name), (*path, field.name))
    elif isinstance(value, tuple) and value:
        for i, item in enumerate(value):
            yield from leaves(item, (*path, str(i)))
    else:
        yield path, value


def put(value: Any, path: Leaf, new: Any) -> Any:
    """The document with another value at the end of this way."""
    if not path:
        return new
    if isinstance(value, tuple):
        i = int(path[0])
        return (*value[:i], put(value[i], path[1:], new), *value[i + 1 :])
    return replace(value, **{path[0]: put(getattr(value, path[0]), path[1:], new)})


def mutants(value: Any, foreign: Any, N: int) -> list[Any]:
    """What a field becomes: its neighbours, 0, q, N, N², its negative, and what stands there in another message."""
    if isinstance(value, Point):
        made: list[Any] = [value + G, -value, IDENTITY, G, 2 * value]
    elif isinstance(value, bool):
        made = [not value]
    elif isinstance(value, bytes):
        made = [bytes(len(value)), value[:-1], value + b"\x00", value[::-1]]
    elif isinstance(value, PaillierPublic):
        made = [PaillierPublic(int(value.N) + 2), PaillierPublic(int(value.N) * 3)]
    elif isinstance(value, PedersenPublic):
        modulus, s, t = value.__canonical__()
        made = [PedersenPublic(modulus, t, s), PedersenPublic(modulus, s, s), PedersenPublic(modulus + 2, s, t)]
    else:
        number = int(value)
        made = [number + 1, number - 1, 0, Q, N, N * N, -number, number + Q, number + N]
    made.append(foreign)
    return [one for one in made if type(one) is type(value) and encode(one) != encode(value)]


class Recorded:
    """An honest run among three, as each of them recorded it."""

    def __init__(self, protocols: dict[int, Any], checks: list[tuple[Round[Any, Any], Any]]) -> None:
        self.records: dict[int, Record] = {}
        held = {i: self._watched(i, protocol) for i, protocol in protocols.items()}
        outcome = run(held)
        assert not outcome.errors, outcome.errors
        self.results, self.checks = outcome.results, checks

    def _watched(self, i: int, protocol: Any) -> Any:
        inbox = None
        while True:
            try:
                out = next(protocol) if inbox is None else protocol.send(inbox)
            except StopIteration as stop:
                return stop.value
            self.records[i] = protocol.gi_frame.f_locals["record"]
            inbox = yield out


def refused(
    recorded: Recorded, made: Round[Any, Any], ground: Any, me: int, j: int, broadcast: Any, direct: Any
) -> bool:
    """Whether party ``me`` refuses it that j had said this."""
    record = recorded.records[me]
    bent = Record(
        record.session,
        {**record.broadcasts, made.step: dict(record.broadcasts[made.step])},
        {**record.directs, made.step: dict(record.directs.get(made.step, {}))},
    )
    try:
        keep(bent, made, j, encode(broadcast), encode(direct) if direct is not None else None)
        assert made.check is not None
        made.check(bent, ground, j)
    except (Malformed, ProofInvalid):
        return True
    return False


def _for_another(message: Any, path: Leaf, me: int) -> bool:
    """The hash of a product for somebody else: that receiver holds it against what it got."""
    return path[:1] == ("products",) and path[-1] == "1" and message.products[int(path[1])][0] != me


def mutate(recorded: Recorded, grounds: dict[int, Any], level: Level, sample: int | None, seed: int) -> int:
    """Every mutation of every message towards every receiver, or a sample of them; how many were tried."""
    tries: list[tuple[Any, ...]] = []
    for made, _ in recorded.checks:
        for me in ALL:
            record = recorded.records[me]
            N = int(primes(level, me)[0] * primes(level, me)[1])
            for j in record.session.peers:
                other = next(k for k in record.session.peers if k != j)
                for secret in (False, True) if made.expects_direct else (False,):
                    said = record.directs[made.step] if secret else record.broadcasts[made.step]
                    theirs = dict(leaves(said[other]))
                    for path, value in leaves(said[j]):
                        if _for_another(said[j], path, me):
                            continue
                        ways = mutants(value, theirs.get(path), N)
                        tries.extend((made, me, j, secret, path, mutant) for mutant in ways)
    chooser = random.Random(seed)
    if sample is not None:
        tries = chooser.sample(tries, min(sample, len(tries)))
    for made, me, j, secret, path, mutant in tries:
        record = recorded.records[me]
        broadcast, direct = record.broadcasts[made.step][j], record.directs.get(made.step, {}).get(j)
        if secret:
            direct = put(direct, path, mutant)
        else:
            broadcast = put(broadcast, path, mutant)
        assert refused(recorded, made, grounds[me], me, j, broadcast, direct), (made.step, path, str(mutant)[:60])
    return len(tries)


def of_keygen(level: Level) -> tuple[Recorded, dict[int, Any]]:
    made = sessions(ALL, level)
    protocols = {i: keygen.keygen(made[i], b"k" * 32, 2, roster(ALL)) for i in ALL}
    checks: list[Any] = [(keygen.REVEAL, None), (keygen.PROVE, None)]
    return Recorded(protocols, checks), dict.fromkeys(ALL, keygen.Ground(2))


def of_auxinfo(level: Level) -> tuple[Recorded, dict[int, Any]]:
    made = sessions(ALL, level)
    recorded = Recorded(
        {i: auxinfo.auxinfo(made[i], primes(level, i)) for i in ALL}, [(auxinfo.REVEAL, None), (auxinfo.PROVE, None)]
    )
    grounds = {i: auxinfo.Ground(recorded.records[i].said(auxinfo.REVEAL)[i].pedersen, ()) for i in ALL}
    return recorded, grounds


def of_presign(level: Level) -> tuple[Recorded, dict[int, Any]]:
    made, held = sessions(ALL, level), key(3, 2, level)
    protocols = {i: presign(made[i], held[i].share, arithmetic(3, 2, i, level)) for i in ALL}
    checks: list[Any] = [(presign_rounds.FIRST, None), (presign_rounds.SECOND, None), (presign_rounds.THIRD, None)]
    return Recorded(protocols, checks), dict.fromkeys(ALL, presign_rounds.ground(held[1].public, ALL, ()))


def of_reshare(level: Level) -> tuple[Recorded, dict[int, Any]]:
    made, held = sessions(ALL, level), key(3, 2, level)
    new = Resharing(ALL, ALL, 2, 1, b"a" * 32)
    epoch = held[1].public
    protocols = {i: reshare.reshare(made[i], epoch, new, held[i].share, roster(ALL)) for i in ALL}
    return Recorded(protocols, [(reshare.REVEAL, None), (reshare.PROVE, None)]), dict.fromkeys(
        ALL, reshare.Ground(epoch, new)
    )


def of_sign(level: Level) -> tuple[Recorded, dict[int, Any]]:
    recorded, _ = of_presign(level)
    made = sessions(ALL, level)
    digest = bytes(range(32))
    protocols = {i: sign.sign(made[i], recorded.results[i], digest) for i in ALL}
    signed = Recorded(protocols, [(sign.SHARE, None)])
    return signed, dict.fromkeys(ALL, sign.Ground(recorded.results[1].public, digest))


FAMILIES = {
    "keygen": of_keygen,
    "auxinfo": of_auxinfo,
    "presign": of_presign,
    "reshare": of_reshare,
    "sign": of_sign,
}


@pytest.mark.covers("P01-P24", "R12", "R14", "R22")
@pytest.mark.parametrize("family", FAMILIES)
def test_a_mutation_of_any_field_of_any_message_is_refused(family: str) -> None:
    recorded, grounds = FAMILIES[family](TOY)
    least = {"keygen": 400, "auxinfo": 700, "presign": 700, "reshare": 300, "sign": 50}
    assert mutate(recorded, grounds, TOY, 700, seed=1) >= least[family]


@pytest.mark.slow
@pytest.mark.attack
@pytest.mark.covers("P01-P24")
def test_ten_thousand_mutations_of_all_messages_are_refused() -> None:
    total = 0
    for family, make in FAMILIES.items():
        recorded, grounds = make(TOY)
        total += mutate(recorded, grounds, TOY, None if family != "auxinfo" else 6000, seed=2)
    assert total >= 10_000


@pytest.mark.slow
@pytest.mark.attack
@pytest.mark.covers("P01-P24")
def test_three_hundred_mutations_at_full_size_are_refused() -> None:
    total = 0
    for family, sample in {"presign": 200, "keygen": 60, "reshare": 40, "sign": 20}.items():
        recorded, grounds = FAMILIES[family](L112)
        total += mutate(recorded, grounds, L112, sample, seed=3)
    assert total >= 300
