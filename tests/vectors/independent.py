"""The proofs of docs/vectors.md verified from the JSON files by integers, hashlib and python-ecdsa: no oms_core.

A second pair of eyes on what the vectors claim, and a model for whoever implements them elsewhere. Slow on purpose:
each line is an equation as it stands in the paper.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from math import gcd, isqrt
from typing import Any

from ecdsa import SECP256k1
from ecdsa.ellipticcurve import INFINITY, PointJacobi

Json = Any
Tree = Any
"""A value of a file: integers, bytes, text, lists and maps."""

G: Any = SECP256k1.generator
Q = int(SECP256k1.order)
P = int(SECP256k1.curve.p())
_TEXT = {"@", "slot", "protocol", "level", "step", "claim"}  # fields that hold text; every other string is hex


class Refuted(Exception):
    """A claim that does not hold."""


# Reading and writing ---------------------------------------------------------------------------------------------


def read(value: Json, name: str = "") -> Tree:
    """A value of a JSON file. ``name`` is the field that it is in."""
    if isinstance(value, dict):
        return {key: read(item, key) for key, item in value.items()}
    if isinstance(value, list):
        return [read(item) for item in value]
    if not isinstance(value, str) or name in _TEXT:
        return value
    return int(value, 16) if value.startswith(("0x", "-0x")) else bytes.fromhex(value)


def encode(value: Tree) -> bytes:
    """Deterministic CBOR (RFC 8949, section 4.2.1) of the types that occur."""
    match value:
        case bool():
            return b"\xf5" if value else b"\xf4"
        case None:
            return b"\xf6"
        case int():
            major, magnitude = (0, value) if value >= 0 else (1, -1 - value)
            if magnitude < 1 << 64:
                return _head(major, magnitude)
            return bytes([0xC2 + major]) + encode(magnitude.to_bytes((magnitude.bit_length() + 7) // 8, "big"))
        case bytes():
            return _head(2, len(value)) + value
        case str():
            return _head(3, len(value.encode())) + value.encode()
        case list():
            return _head(4, len(value)) + b"".join(encode(item) for item in value)
    pairs = sorted((encode(key), encode(item)) for key, item in value.items())
    return _head(5, len(pairs)) + b"".join(key + item for key, item in pairs)


def _head(major: int, argument: int) -> bytes:
    if argument < 24:
        return bytes([major << 5 | argument])
    size = next(size for size in (1, 2, 4, 8) if argument < 1 << 8 * size)
    return bytes([major << 5 | 23 + size.bit_length()]) + argument.to_bytes(size, "big")


def decode(data: bytes) -> Tree:
    """The value of canonical bytes; what is not canonical fails the round trip."""
    value, rest = _item(data)
    if rest or encode(value) != data:
        raise ValueError("not canonical")
    return value


def _item(data: bytes) -> tuple[Tree, bytes]:
    major, argument, rest = data[0] >> 5, data[0] & 31, data[1:]
    if major != 7 and argument >= 24:
        size = 1 << argument - 24
        argument, rest = int.from_bytes(rest[:size], "big"), rest[size:]
    if major in (0, 1):
        return (argument if major == 0 else -1 - argument), rest
    if major in (2, 3):
        taken = rest[:argument]
        return (taken if major == 2 else taken.decode()), rest[argument:]
    if major == 4:
        items = []
        for _ in range(argument):
            value, rest = _item(rest)
            items.append(value)
        return items, rest
    if major == 5:
        pairs = {}
        for _ in range(argument):
            key, rest = _item(rest)
            pairs[key], rest = _item(rest)
        return pairs, rest
    if major == 6:
        magnitude, rest = _item(rest)
        number = int.from_bytes(magnitude, "big")
        return (number if argument == 2 else -1 - number), rest
    return {20: False, 21: True, 22: None}[argument], rest


def hash_input(context: str, *items: Tree) -> bytes:
    """What SHAKE256 is given."""
    return encode(["counterseal", 1, context, list(items)])


def digest(context: str, *items: Tree, size: int = 32) -> bytes:
    """A digest of the project."""
    return hashlib.shake_256(hash_input(context, *items)).digest(size)


# Challenges ------------------------------------------------------------------------------------------------------


def scalar(hashed: bytes) -> int:
    """64 bytes modulo q, centred."""
    e = int.from_bytes(hashlib.shake_256(hashed).digest(64), "big") % Q
    return e - Q if e > (Q - 1) // 2 else e


def signed(hashed: bytes, bits: int) -> int:
    """±2^bits."""
    size = (bits + 1 + 256 + 7) // 8
    return int.from_bytes(hashlib.shake_256(hashed).digest(size), "big") % ((2 << bits) + 1) - (1 << bits)


def bits_of(hashed: bytes, count: int) -> list[int]:
    """Single bits, the least significant first."""
    value = int.from_bytes(hashlib.shake_256(hashed).digest((count + 7) // 8), "big")
    return [value >> i & 1 for i in range(count)]


def residues(hashed: bytes, N: int, count: int) -> list[int]:
    """Residues modulo N."""
    size = (N.bit_length() + 128 + 7) // 8
    stream = hashlib.shake_256(hashed).digest(size * count)
    return [int.from_bytes(stream[size * i : size * (i + 1)], "big") % N for i in range(count)]


# Arithmetic ------------------------------------------------------------------------------------------------------


def point(data: bytes) -> Any:
    """A point of secp256k1 from its canonical bytes."""
    if data == b"\0":
        return INFINITY
    return PointJacobi.from_bytes(SECP256k1.curve, data, valid_encodings=("compressed",), order=Q)


def written(made: Any) -> bytes:
    """A point's canonical bytes."""
    return b"\0" if made == INFINITY else bytes(made.to_bytes("compressed"))


def times(k: int, base: Any) -> Any:
    """k times a point, for any integer k."""
    return base * (k % Q) if k % Q and base != INFINITY else INFINITY


def enc(N: int, m: int, r: int) -> int:
    """(1 + N)^m · r^N modulo N²."""
    return (1 + m * N) % N**2 * pow(r, N, N**2) % N**2


def unit(a: int, N: int) -> bool:
    """Whether a is in [1, N) and coprime to N."""
    return 0 < a < N and gcd(a, N) == 1


def jacobi(a: int, n: int) -> int:
    """The Jacobi symbol, for odd positive n."""
    a, sign = a % n, 1
    while a:
        while a % 2 == 0:
            a //= 2
            if n % 8 in (3, 5):
                sign = -sign
        a, n = n, a
        if a % 4 == n % 4 == 3:
            sign = -sign
        a %= n
    return sign if n == 1 else 0


def is_prime(n: int) -> bool:
    """Miller and Rabin's test to the bases below 100: enough to tell the vectors' moduli from primes."""
    odd, twos = n - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for base in range(2, 100):
        x = pow(base, odd, n)
        if x not in (1, n - 1) and all((x := x * x % n) != n - 1 for _ in range(twos - 1)):
            return False
    return True


def claim(holds: bool, text: str) -> None:
    """Raise `Refuted` with the claim unless it holds."""
    if not holds:
        raise Refuted(text)


def mask(level: Json, value: int, N: int, text: str) -> None:
    """The range of an answer that hides a ring-Pedersen exponent."""
    claim(abs(value) <= (2 ** (level["ell"] + level["epsilon"]) + Q * 2 ** level["ell"]) * N, text)


# The proofs ------------------------------------------------------------------------------------------------------
# Each takes the level, how to hash a commitment, statement and proof, and raises `Refuted` with the first false claim.

Hash = Callable[[Tree], bytes]


def sch(level: Json, hashed: Hash, x: Tree, p: Tree) -> None:
    X, A = point(x["X"]), point(p["first_message"])
    claim(X != INFINITY and A != INFINITY, "X and A are not the identity")
    claim(0 <= p["z"] < Q, "z ∈ [0, q)")
    e = scalar(hashed(p["first_message"]))
    claim(times(p["z"], G) == A + times(e, X), "z·G = A + e·X")


def elog(level: Json, hashed: Hash, x: Tree, p: Tree) -> None:
    com = p["commitment"]
    L, M, X, Y, H = (point(x[name]) for name in "LMXYH")
    claim(H != INFINITY and X != INFINITY, "H and X are not the identity")
    claim(0 <= p["z"] < Q and 0 <= p["u"] < Q, "z, u ∈ [0, q)")
    e = scalar(hashed(com))
    claim(times(p["z"], G) == point(com["A"]) + times(e, L), "z·G = A + e·L")
    claim(times(p["u"], G) + times(p["z"], X) == point(com["N"]) + times(e, M), "u·G + z·X = N + e·M")
    claim(times(p["u"], H) == point(com["B"]) + times(e, Y), "u·H = B + e·Y")


def enc_elg(level: Json, hashed: Hash, x: Tree, p: Tree) -> None:
    com, N0, C, (N, s, t) = p["commitment"], x["N0"], x["C"], x["pedersen"]
    S, T, D, z1, z2, z3, w = com["S"], com["T"], com["D"], p["z1"], p["z2"], p["z3"], p["w"]
    A, B, X = point(x["A"]), point(x["B"]), point(x["X"])
    claim(A != INFINITY and B != INFINITY, "A and B are not the identity")
    claim(0 <= w < Q, "w ∈ [0, q)")
    claim(abs(z1) <= 2 ** (level["ell"] + level["epsilon"]), "z1 ∈ ±2^(ℓ+ε)")
    mask(level, z3, N, "z3 is in the range of an honest prover")
    claim(unit(C, N0**2) and unit(D, N0**2), "C and D are units modulo N0²")
    claim(unit(S, N) and unit(T, N), "S and T are units modulo N̂")
    claim(unit(z2, N0), "z2 is a unit modulo N0")
    e = scalar(hashed(com))
    claim(times(w, A) + times(z1, G) == point(com["Y"]) + times(e, X), "w·A + z1·G = Y + e·X")
    claim(times(w, G) == point(com["Z"]) + times(e, B), "w·G = Z + e·B")
    claim(pow(s, z1, N) * pow(t, z3, N) % N == T * pow(S, e, N) % N, "s^z1·t^z3 = T·S^e")
    claim(enc(N0, z1, z2) == D * pow(C, e, N0**2) % N0**2, "enc(z1; z2) = D·C^e")


def aff_g(level: Json, hashed: Hash, x: Tree, p: Tree) -> None:
    com, N0, N1, (N, s, t) = p["commitment"], x["N0"], x["N1"], x["pedersen"]
    C, D, Y, X, z1, z2, z3, z4 = x["C"], x["D"], x["Y"], point(x["X"]), p["z1"], p["z2"], p["z3"], p["z4"]
    A, B_y, E, S, F, T = (com[name] for name in ("A", "B_y", "E", "S", "F", "T"))
    claim(abs(z1) <= 2 ** (level["ell"] + level["epsilon"]), "z1 ∈ ±2^(ℓ+ε)")
    claim(abs(z2) <= 2 ** (level["ell_prime"] + level["epsilon"]), "z2 ∈ ±2^(ℓ′+ε)")
    mask(level, z3, N, "z3 is in the range of an honest prover")
    mask(level, z4, N, "z4 is in the range of an honest prover")
    claim(all(unit(c, N0**2) for c in (C, D, A)), "C, D and A are units modulo N0²")
    claim(unit(Y, N1**2) and unit(B_y, N1**2), "Y and B_y are units modulo N1²")
    claim(all(unit(c, N) for c in (E, S, F, T)), "E, S, F and T are units modulo N̂")
    claim(unit(p["w"], N0), "w is a unit modulo N0")
    claim(unit(p["w_y"], N1), "w_y is a unit modulo N1")
    e = scalar(hashed(com))
    claim(times(z1, G) == point(com["B_x"]) + times(e, X), "z1·G = B_x + e·X")
    claim(pow(s, z1, N) * pow(t, z3, N) % N == E * pow(S, e, N) % N, "s^z1·t^z3 = E·S^e")
    claim(pow(s, z2, N) * pow(t, z4, N) % N == F * pow(T, e, N) % N, "s^z2·t^z4 = F·T^e")
    left = pow(C, z1, N0**2) * enc(N0, z2, p["w"]) % N0**2
    claim(left == A * pow(D, e, N0**2) % N0**2, "C^z1·enc_0(z2; w) = A·D^e")
    claim(enc(N1, z2, p["w_y"]) == B_y * pow(Y, e, N1**2) % N1**2, "enc_1(z2; w_y) = B_y·Y^e")


def fac(level: Json, hashed: Hash, x: Tree, p: Tree) -> None:
    com, N0, (N, s, t), ell = p["commitment"], x["N0"], x["pedersen"], level["ell"]
    P_, Q_, A, B, T = (com[name] for name in "PQABT")
    z1, z2, w1, w2, v, wide = p["z1"], p["z2"], p["w1"], p["w2"], p["v"], 2 ** (ell + level["epsilon"])
    claim(N0.bit_length() >= 4 * ell, "N0 has at least 4ℓ bits")
    claim(abs(z1) <= wide * isqrt(N0), "z1 ∈ ±2^(ℓ+ε)·√N0")
    claim(abs(z2) <= wide * isqrt(N0), "z2 ∈ ±2^(ℓ+ε)·√N0")
    claim(max(abs(w1), abs(w2)) <= (wide + 4**ell) * N, "w1 and w2 are in the range of an honest prover")
    most = wide * N0 * N + 4**ell * N * 2 ** (2 * level["prime_bits"])
    claim(abs(v) <= most, "v is in the range of an honest prover")
    claim(all(unit(c, N) for c in (P_, Q_, A, B, T)), "P, Q, A, B and T are units modulo N̂")
    e = signed(hashed(com), ell)
    claim(pow(s, z1, N) * pow(t, w1, N) % N == A * pow(P_, e, N) % N, "s^z1·t^w1 = A·P^e")
    claim(pow(s, z2, N) * pow(t, w2, N) % N == B * pow(Q_, e, N) % N, "s^z2·t^w2 = B·Q^e")
    claim(pow(Q_, z1, N) * pow(t, v, N) % N == T * pow(s, N0 * e, N) % N, "Q^z1·t^v = T·(s^N0)^e")


def mod(level: Json, hashed: Hash, N: Tree, p: Tree) -> None:
    w, answers = p["w"], p["answers"]
    claim(len(answers) == level["repetitions"], "exactly m answers")
    claim(all(one["a"] in (0, 1) and one["b"] in (0, 1) for one in answers), "a, b ∈ {0, 1}")
    claim(N.bit_length() == 2 * level["prime_bits"] and N % 2 == 1, "N is odd and of the level's size")
    claim(0 < w < N and jacobi(w, N) == -1, "Jacobi(w|N) = -1")
    claim(all(unit(one["x"], N) and unit(one["z"], N) for one in answers), "x and z are units modulo N")
    claim(not is_prime(N), "N is not prime")
    for y, one in zip(residues(hashed(w), N, len(answers)), answers, strict=True):
        claim(unit(y, N), "y is a unit modulo N")
        claim(pow(one["z"], N, N) == y, "z^N = y")
        claim(pow(one["x"], 4, N) == (-1) ** one["a"] * w ** one["b"] * y % N, "x^4 = (-1)^a·w^b·y")


def prm(level: Json, hashed: Hash, x: Tree, p: Tree) -> None:
    (N, s, t), m = x, level["repetitions"]
    claim(len(p["A"]) == len(p["z"]) == m, "exactly m first messages and m answers")
    claim(all(unit(a, N) for a in (s, t, *p["A"])), "s, t and every A are units modulo N̂")
    claim(all(0 <= z < N for z in p["z"]), "z ∈ [0, N̂)")
    for A, z, e in zip(p["A"], p["z"], bits_of(hashed(p["A"]), m), strict=True):
        claim(pow(t, z, N) == A * s**e % N, "t^z = A·s^e")


def dec(level: Json, hashed: Hash, x: Tree, p: Tree) -> None:
    com, N0, K, D, m = p["commitment"], x["N0"], x["K"], x["D"], level["repetitions"]
    X, T, B = point(x["X"]), point(x["T"]), point(x["B"])
    room = max(1, (x["signers"] - 1).bit_length())
    bits = level["ell_prime"] + level["epsilon"] + 1 + room + level["epsilon_dec"]
    vectors = (com["A"], com["B"], com["C"], p["z"], p["w"], p["nu"])
    claim(all(len(vector) == m for vector in vectors), "exactly m first messages and m answers")
    claim(2 ** (bits + 2) < N0, "2^(b_w+1) < N0/2")
    claim(B != INFINITY, "B is not the identity")
    claim(all(abs(z) <= 2 ** (level["ell"] + level["epsilon"]) for z in p["z"]), "z ∈ ±2^(ℓ+ε)")
    claim(all(abs(w) <= 2**bits for w in p["w"]), "w ∈ ±2^b_w")
    claim(all(unit(c, N0**2) for c in (K, D, *com["A"])), "K, D and every A are units modulo N0²")
    claim(all(unit(nu, N0) for nu in p["nu"]), "every ν is a unit modulo N0")
    for A, B_k, C_k, z, w, nu, e in zip(*vectors, bits_of(hashed(com), m), strict=True):
        claim(times(z, G) == point(C_k) + times(e, X), "z·G = C + e·X")
        claim(times(w, B) == point(B_k) + times(e, T), "w·B = B_k + e·T")
        claim(enc(N0, w, nu) * pow(K, -z, N0**2) % N0**2 == A * D**e % N0**2, "enc_0(w; ν)·K^-z = A·D^e")


def aff_g_star(level: Json, hashed: Hash, x: Tree, p: Tree) -> None:
    com, N0, N1, m = p["commitment"], x["N0"], x["N1"], level["repetitions"]
    C, D, Y, X = x["C"], x["D"], x["Y"], point(x["X"])
    vectors = (com["A"], com["B"], com["R"], p["z"], p["z_y"], p["w"], p["lam"])
    claim(all(len(vector) == m for vector in vectors), "exactly m first messages and m answers")
    narrow, wide = 2 ** (level["ell"] + level["epsilon"]), 2 ** (level["ell_prime"] + level["epsilon"])
    ranges = all(abs(z) <= narrow for z in p["z"]) and all(abs(z_y) <= wide for z_y in p["z_y"])
    claim(ranges, "z ∈ ±2^(ℓ+ε) and z′ ∈ ±2^(ℓ′+ε)")
    claim(all(unit(c, N0**2) for c in (C, D, *com["A"])), "C, D and every A are units modulo N0²")
    claim(all(unit(c, N1**2) for c in (Y, *com["B"])), "Y and every B are units modulo N1²")
    claim(all(unit(w, N0) for w in p["w"]), "every w is a unit modulo N0")
    claim(all(unit(lam, N1) for lam in p["lam"]), "every λ is a unit modulo N1")
    for A, B, R, z, z_y, w, lam, e in zip(*vectors, bits_of(hashed(com), m), strict=True):
        claim(times(z, G) == point(R) + times(e, X), "z·G = R + e·X")
        claim(enc(N1, z_y, lam) == B * Y**e % N1**2, "enc_1(z′; λ) = B·Y^e")
        claim(pow(C, z, N0**2) * enc(N0, z_y, w) % N0**2 == A * D**e % N0**2, "C^z·enc_0(z′; w) = A·D^e")


PROOFS: dict[str, Callable[[Json, Hash, Tree, Tree], None]] = {
    "sch": sch,
    "elog": elog,
    "enc-elg": enc_elg,
    "aff-g": aff_g,
    "fac": fac,
    "mod": mod,
    "prm": prm,
    "dec": dec,
    "aff-g*": aff_g_star,
}


def verify(name: str, level: Json, context: Tree, statement: Tree, proof: Tree) -> None:
    """Raise `Refuted` with the claim that fails. Π^sch finds its first message in the proof."""
    PROOFS[name](level, lambda com: hash_input(f"challenge {name}", context, statement, com), statement, proof)
