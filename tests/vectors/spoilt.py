"""An honest proof with one thing changed: every field by one step, and the values that attacks on proofs have used."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from math import isqrt
from typing import Any

from gmpy2 import jacobi

from oms_core.crypto.curve import IDENTITY, G, Point, Q
from oms_core.crypto.paillier import PaillierPublic
from oms_core.crypto.params import L112, Level
from oms_core.crypto.pedersen import PedersenPublic
from oms_core.zk.dec import mask_bits
from tests.primes import primes
from tests.vectors.written import Json, shown

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Change:
    """Everything with one place changed; ``written`` says to what."""

    path: Path
    whole: dict[str, Any]
    written: dict[str, Json]


def spoilt(name: str, level: Level, whole: dict[str, Any]) -> Iterator[Change]:
    """All changes of a proof, its statement and its context."""
    for key, value in whole.items():
        for path, changed, leaf in _changes(value):
            yield Change((key, *path), {**whole, key: changed}, leaf)
    for path, leaf in _known(name, level, whole):
        yield Change(path, _set(whole, path, leaf), {"to": shown(leaf)})


def falsehoods(name: str, x: Any) -> Iterator[tuple[str, Any]]:
    """Fields of a statement, and with which value it is false: another point, or a plaintext that is one more."""
    points = {"sch": "X", "elog": "LMY", "enc-elg": "BX", "aff-g": "X", "dec": "XT", "aff-g*": "X"}
    for field in points.get(name, ""):
        yield field, getattr(x, field) + G
    ciphertexts = {"enc-elg": {"C": "N0"}, "aff-g": {"D": "N0", "Y": "N1"}, "dec": {"D": "N0"}}
    ciphertexts["aff-g*"] = ciphertexts["aff-g"]
    for field, of in ciphertexts.get(name, {}).items():
        key: PaillierPublic = getattr(x, of)
        yield field, int(key.add(getattr(x, field), 1 + key.N))


def _changes(value: Any) -> Iterator[tuple[Path, Any, dict[str, Json]]]:
    if is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            for path, changed, leaf in _changes(getattr(value, field.name)):
                yield (field.name, *path), replace(value, **{field.name: changed}), leaf
    elif isinstance(value, tuple):
        last = len(value) - 1
        for path, changed, leaf in _changes(value[last]):
            yield (last, *path), (*value[:last], changed), leaf
        for length in (0, len(value) - 1):
            yield (), value[:length], {"cut_to": length}
    else:
        for changed in _steps(value):
            yield (), changed, {"to": shown(changed)}


def _steps(value: Any) -> Iterator[Any]:
    match value:
        case Point():
            yield from (value + G, IDENTITY)
        case PaillierPublic():
            yield PaillierPublic(int(value.N) + 2)
        case PedersenPublic():
            N, s, t = value.__canonical__()
            yield from (PedersenPublic(N + 2, s, t), PedersenPublic(N, s * s % N, t), PedersenPublic(N, s, t * t % N))
        case bytes():
            yield value[:-1] + bytes([value[-1] ^ 1])
        case str():
            yield value + "'"
        case None:
            return
        case _:  # an integer, gmpy2's or Python's
            yield from (int(value) + 1, 0) if value else (1,)


def _known(name: str, level: Level, whole: dict[str, Any]) -> Iterator[tuple[Path, Any]]:
    """Places and values that need a proof's own numbers: just out of range, no unit, CVE-2025-66016."""
    x, proof = whole["statement"], whole["proof_made"]
    narrow, wide = 1 << level.ell + level.epsilon, 1 << level.ell_prime + level.epsilon
    yield ("context", "verifier"), None
    match name:
        case "sch":
            yield ("proof_made", "z"), proof.z + Q
        case "elog":
            yield ("proof_made", "z"), proof.z + Q
            yield ("proof_made", "u"), -1
        case "enc-elg":
            yield ("proof_made", "z1"), narrow + 1
            yield ("proof_made", "z3"), -(narrow + (Q << level.ell)) * int(x.pedersen.N) - 1
            yield ("proof_made", "w"), proof.w + Q
            yield ("proof_made", "z2"), int(x.N0.N)
            yield ("statement", "C"), int(x.C + x.N0.NN)
        case "aff-g":
            yield ("proof_made", "z1"), -narrow - 1
            yield ("proof_made", "z2"), wide + 1
            yield ("proof_made", "z3"), -(narrow + (Q << level.ell)) * int(x.pedersen.N) - 1
            yield ("proof_made", "z4"), (narrow + (Q << level.ell)) * int(x.pedersen.N) + 1
            yield ("proof_made", "w_y"), int(x.N1.N)
            yield ("statement", "Y"), int(x.N1.N)
        case "fac":
            yield ("proof_made", "z1"), narrow * isqrt(int(x.N0.N)) + 1
            yield ("proof_made", "z2"), -narrow * isqrt(int(x.N0.N)) - 1
            widest = narrow * int(x.N0.N) + (1 << 2 * level.ell + level.modulus_bits)
            yield ("proof_made", "v"), widest * int(x.pedersen.N) + 1
            yield ("proof_made", "w1"), (narrow + (1 << 2 * level.ell)) * int(x.pedersen.N) + 1
            yield ("statement", "N0"), PaillierPublic((1 << 4 * level.ell - 1) - 1)
        case "mod":
            forged = tuple(replace(answer, x=0, a=0, b=1) for answer in proof.answers)
            yield ("proof_made",), replace(proof, w=0, answers=forged)
            yield ("proof_made", "w"), int(x.N)
            yield ("statement",), PaillierPublic(int(x.N) * 3)
            yield ("statement",), next(one for one in _primes_of(level) if jacobi(proof.w, one.N) == -1)
            yield ("proof_made", "answers", 0, "a"), 2
        case "prm":
            yield ("proof_made", "z", 0), int(x.N)
            yield ("proof_made", "A", 0), int(x.N) - proof.A[0]
            yield ("statement",), PedersenPublic(int(x.N), 0, int(x.t))
        case "dec":
            yield ("proof_made", "z", 0), narrow + 1
            yield ("proof_made", "w", 0), (1 << mask_bits(level, x.signers)) + 1
            yield ("statement", "signers"), 1 << level.modulus_bits
            yield ("statement", "K"), int(x.N0.N)
        case "aff-g*":
            yield ("proof_made", "z", 0), narrow + 1
            yield ("proof_made", "z_y", 0), -wide - 1
            yield ("proof_made", "lam", 0), int(x.N1.N)
            yield ("statement", "D"), int(x.N0.N)


def _primes_of(level: Level) -> Iterator[PaillierPublic]:
    """Primes that are as large as a modulus of TOY."""
    assert level.modulus_bits == L112.prime_bits
    return (PaillierPublic(prime) for party in range(1, 6) for prime in primes(L112, party))


def _set(whole: Any, path: Path, leaf: Any) -> Any:
    """``whole`` with ``leaf`` at ``path``."""
    if not path:
        return leaf
    at, rest = path[0], path[1:]
    if isinstance(whole, dict):
        return {**whole, at: _set(whole[at], rest, leaf)}
    if isinstance(whole, tuple):
        assert isinstance(at, int)
        return (*whole[:at], _set(whole[at], rest, leaf), *whole[at + 1 :])
    return replace(whole, **{str(at): _set(getattr(whole, str(at)), rest, leaf)})
