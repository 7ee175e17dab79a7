"""Fiat-Shamir challenges (spec §2.2, §2.3): one XOF per proof, over tag, context, whole statement, first messages."""

from __future__ import annotations

from oms_core.crypto.curve import Q, centered
from oms_core.encoding import document, xof


@document("proof-context/1")
class ProofContext:
    """What ties a proof to one place: session, slot, prover, designated verifier (or none), and what else is agreed."""

    ssid: bytes
    slot: str
    prover: int
    verifier: int | None
    extra: bytes


class Challenge:
    """The verifier's randomness. Each proof reads exactly one kind, once."""

    def __init__(self, tag: str, context: ProofContext, statement: object, commitment: object) -> None:
        self._xof = xof("challenge " + tag, context, statement, commitment)

    def scalar(self) -> int:
        """Uniform up to 2^-255 in ±(q-1)/2."""
        return centered(int.from_bytes(self._xof.digest(64), "big") % Q)

    def signed(self, bits: int) -> int:
        """Uniform up to 2^-255 in ±2^bits."""
        size = (bits + 1 + 256 + 7) // 8
        value = int.from_bytes(self._xof.digest(size), "big")
        return int(value % (2 ** (bits + 1) + 1) - 2**bits)

    def bits(self, count: int) -> list[int]:
        """``count`` bits, least significant first."""
        value = int.from_bytes(self._xof.digest((count + 7) // 8), "big")
        return [(value >> i) & 1 for i in range(count)]

    def residues(self, modulus: int, count: int) -> list[int]:
        """``count`` residues, uniform up to 2^-128."""
        size = (int(modulus).bit_length() + 128 + 7) // 8
        stream = self._xof.digest(size * count)
        return [int.from_bytes(stream[i * size : (i + 1) * size], "big") % int(modulus) for i in range(count)]
