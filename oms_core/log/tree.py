"""The Merkle tree of RFC 6962, section 2.1 (RFC 9162 has the same tree): roots, proofs, and their verification.

Whoever makes proofs is given the tree as `Hashes`, a function from (level, index) to the root of a complete subtree;
whoever checks them needs nothing but roots and sizes. A proof has one length for its place, and no other is accepted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from oms_core.errors import Malformed, ProofInvalid, Reason

HASH = 32
MAX_SIZE = 1 << 63
EMPTY_ROOT = hashlib.sha256(b"").digest()

Hashes = Callable[[int, int], bytes]
"""(level, index) -> root of the complete subtree of 2**level leaves that begins at leaf index * 2**level."""


def leaf_hash(data: bytes) -> bytes:
    """The hash of an entry. Leaves and nodes have prefixes of their own, so neither passes for the other."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of two subtrees."""
    return hashlib.sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True, slots=True)
class Frontier:
    """All of a tree that appending needs: the roots of its maximal complete subtrees, from left to right.

    One hash per set bit of the size, the largest subtree first. Raises `Malformed` if there are more or fewer.
    """

    size: int = 0
    hashes: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.size < MAX_SIZE or len(self.hashes) != self.size.bit_count():
            raise Malformed(f"{len(self.hashes)} subtrees do not make a tree of {self.size}")
        if any(len(one) != HASH for one in self.hashes):
            raise Malformed("a subtree's root has 32 bytes")

    def append(self, leaf_hash: bytes) -> Frontier:
        """The tree with one more leaf."""
        return self.extended((leaf_hash,))

    def extended(self, leaf_hashes: Iterable[bytes]) -> Frontier:
        """The tree with these leaves after the ones that it has."""
        size, stack = self.size, list(self.hashes)
        for one in leaf_hashes:
            # A carry of the binary counter that the size is joins two subtrees of equal size.
            carry, size = size, size + 1
            while carry & 1:
                one = hashlib.sha256(b"\x01" + stack.pop() + one).digest()
                carry >>= 1
            stack.append(one)
        return Frontier(size, tuple(stack))

    def root(self) -> bytes:
        """The root of the whole tree."""
        return _joined(self.hashes) if self.hashes else EMPTY_ROOT


def frontier(size: int, hashes: Hashes) -> Frontier:
    """The frontier of the first ``size`` leaves."""
    _in_range(0 <= size < MAX_SIZE, f"no tree has {size} leaves")
    return Frontier(size, tuple(hashes(level, index) for level, index in _complete(0, size)))


def root(size: int, hashes: Hashes) -> bytes:
    """The root of the first ``size`` leaves."""
    return frontier(size, hashes).root()


def inclusion_proof(index: int, size: int, hashes: Hashes) -> tuple[bytes, ...]:
    """PATH(index, D[size]) of RFC 6962, 2.1.1, from the leaf's sibling up. Raises `Malformed` if index >= size."""
    _in_range(0 <= index < size < MAX_SIZE, f"no leaf {index} in a tree of {size}")
    path, begin, end = list[bytes](), 0, size
    while end - begin > 1:
        split = _split(begin, end)
        if index < split:
            path.append(_span(split, end, hashes))
            end = split
        else:
            path.append(_span(begin, split, hashes))
            begin = split
    return tuple(reversed(path))


def consistency_proof(old: int, new: int, hashes: Hashes) -> tuple[bytes, ...]:
    """PROOF(old, D[new]) of RFC 6962, 2.1.2; empty from the empty tree, and to itself. `Malformed` if old > new."""
    path = consistency_path(old, new, hashes)
    return path[1:] if _is_power(old) else path


def consistency_path(old: int, new: int, hashes: Hashes) -> tuple[bytes, ...]:
    """The consistency proof with the subtree that it starts from, which RFC 6962 leaves out where it is the older tree.

    From this both roots follow by `roots_by_consistency`. Raises `Malformed` if old > new.
    """
    _in_range(0 <= old <= new < MAX_SIZE, f"a tree of {new} does not extend one of {old}")
    if old in (0, new):
        return ()
    path, begin, end = list[bytes](), 0, new
    while old != end:
        split = _split(begin, end)
        if old <= split:
            path.append(_span(split, end, hashes))
            end = split
        else:
            path.append(_span(begin, split, hashes))
            begin = split
    path.append(_span(begin, end, hashes))
    return tuple(reversed(path))


def verify_inclusion(leaf_hash: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """The leaf stands at this index (RFC 9162, 2.1.3.2). Raises `ProofInvalid`, saying which claim failed."""
    _claim(0 <= index < size < MAX_SIZE, f"leaf {index} is in a tree of {size}")
    _sized(proof, leaf_hash, root)
    inner, border = _lengths(index, size)
    _claim(len(proof) == inner + border, f"a path of leaf {index} of {size} has {inner + border} hashes")
    found = leaf_hash
    for height, sibling in enumerate(proof):
        right = height >= inner or index >> height & 1
        found = node_hash(sibling, found) if right else node_hash(found, sibling)
    _claim(found == root, f"the path of leaf {index} of {size} leads to the root")


def verify_consistency(old: int, old_root: bytes, new: int, new_root: bytes, proof: Sequence[bytes]) -> None:
    """The newer tree begins with the older (RFC 9162, 2.1.4.2). Raises `ProofInvalid`, saying which claim failed."""
    _claim(0 <= old <= new < MAX_SIZE, f"a tree of {new} extends one of {old}")
    _sized(proof, old_root, new_root)
    _claim(old > 0 or old_root == EMPTY_ROOT, "the empty tree has its root")
    if old in (0, new):
        _claim(not proof, f"from {old} to {new} there is nothing to prove")
        _claim(new > 0 or new_root == EMPTY_ROOT, "the empty tree has its root")
        _claim(old != new or old_root == new_root, f"two trees of {old} have one root")
        return
    path = (old_root, *proof) if _is_power(old) else tuple(proof)
    older, newer = roots_by_consistency(old, new, path)
    _claim(older == old_root, f"the path from {old} to {new} leads to the older root")
    _claim(newer == new_root, f"the path from {old} to {new} leads to the newer root")


def roots_by_consistency(old: int, new: int, path: Sequence[bytes]) -> tuple[bytes, bytes]:
    """The older and the newer root that follow from a `consistency_path`, 0 < old < new.

    Whoever finds a path to a given newer root has found *the* older root: another one would be a collision. So a path
    that leads to a signed newer root and to another older root than the signed one convicts the log, to anybody.
    Raises `ProofInvalid` if the path has another length than these sizes give it.
    """
    _claim(0 < old < new < MAX_SIZE, f"a path leads from a tree of {old} to one of {new}")
    _sized(path)
    shift = _trailing_zeroes(old)
    inner, border = _lengths(old - 1, new)
    inner -= shift
    _claim(len(path) == 1 + inner + border, f"a path from {old} to {new} has {1 + inner + border} hashes")
    older = newer = path[0]
    index = old - 1 >> shift
    for height, sibling in enumerate(path[1:]):
        if height >= inner or index >> height & 1:
            older, newer = node_hash(sibling, older), node_hash(sibling, newer)
        else:
            newer = node_hash(newer, sibling)
    return older, newer


def _split(begin: int, end: int) -> int:
    """Where RFC 6962 splits: the largest power of two below the number of leaves."""
    return begin + (1 << (end - begin - 1).bit_length() - 1)


def _span(begin: int, end: int, hashes: Hashes) -> bytes:
    return _joined([hashes(level, index) for level, index in _complete(begin, end)])


def _complete(begin: int, end: int) -> Iterator[tuple[int, int]]:
    """The maximal complete subtrees of a range, where ``begin`` is a multiple of the largest of them."""
    while begin < end:
        level = (end - begin).bit_length() - 1
        yield level, begin >> level
        begin += 1 << level


def _joined(subtrees: Sequence[bytes]) -> bytes:
    """The root over complete subtrees of falling sizes."""
    *rest, found = subtrees
    for left in reversed(rest):
        found = node_hash(left, found)
    return found


def _lengths(index: int, size: int) -> tuple[int, int]:
    """How many siblings a leaf's path has below the point where it joins the right edge, and how many from there up."""
    inner = (index ^ (size - 1)).bit_length()
    return inner, (index >> inner).bit_count()


def _trailing_zeroes(number: int) -> int:
    return (number & -number).bit_length() - 1


def _is_power(number: int) -> bool:
    return number.bit_count() == 1


def _sized(proof: Sequence[bytes], *more: bytes) -> None:
    _claim(all(len(one) == HASH for one in (*proof, *more)), "each hash has 32 bytes")


def _claim(holds: bool, claim: str) -> None:
    if not holds:
        raise ProofInvalid(f"does not hold: {claim}", Reason.DIGEST_MISMATCH)


def _in_range(holds: bool, otherwise: str) -> None:
    if not holds:
        raise Malformed(otherwise)
