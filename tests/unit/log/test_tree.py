"""The Merkle tree against RFC 6962 as it is written, for every place in every tree up to 512 leaves."""

from __future__ import annotations

import hashlib
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oms_core.errors import Malformed, ProofInvalid
from oms_core.log.tree import (
    EMPTY_ROOT,
    MAX_SIZE,
    Frontier,
    consistency_path,
    consistency_proof,
    frontier,
    inclusion_proof,
    leaf_hash,
    node_hash,
    root,
    roots_by_consistency,
    verify_consistency,
    verify_inclusion,
)

MOST = 512
LEAVES = [number.to_bytes(2, "big") for number in range(MOST)]
HASHED = [leaf_hash(one) for one in LEAVES]

# The leaves, roots and proofs of the Certificate Transparency project's own tests of RFC 6962.
KNOWN_LEAVES = [
    bytes.fromhex(one)
    for one in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
KNOWN_ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
KNOWN_INCLUSION = {
    (0, 1): [],
    (0, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (5, 8): [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 3): ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"],
    (1, 5): [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}
KNOWN_CONSISTENCY = {
    (1, 1): [],
    (1, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (6, 8): [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 5): [
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}


def largest_power_below(count: int) -> int:
    power = 1
    while power * 2 < count:
        power *= 2
    return power


@cache
def mth(begin: int, end: int) -> bytes:
    """MTH(D[begin:end]) of RFC 6962, 2.1."""
    if begin == end:
        return hashlib.sha256().digest()
    if end - begin == 1:
        return hashlib.sha256(b"\x00" + LEAVES[begin]).digest()
    k = begin + largest_power_below(end - begin)
    return hashlib.sha256(b"\x01" + mth(begin, k) + mth(k, end)).digest()


@cache
def path(m: int, begin: int, end: int) -> tuple[bytes, ...]:
    """PATH(m, D[begin:end]), with m counted from begin."""
    if end - begin == 1:
        return ()
    k = largest_power_below(end - begin)
    if m < k:
        return (*path(m, begin, begin + k), mth(begin + k, end))
    return (*path(m - k, begin + k, end), mth(begin, begin + k))


@cache
def subproof(m: int, begin: int, end: int, known: bool) -> tuple[bytes, ...]:
    """SUBPROOF(m, D[begin:end], known)."""
    if m == end - begin:
        return () if known else (mth(begin, end),)
    k = largest_power_below(end - begin)
    if m <= k:
        return (*subproof(m, begin, begin + k, known), mth(begin + k, end))
    return (*subproof(m - k, begin + k, end, False), mth(begin, begin + k))


@cache
def hashes(level: int, index: int) -> bytes:
    if level == 0:
        return HASHED[index]
    return node_hash(hashes(level - 1, 2 * index), hashes(level - 1, 2 * index + 1))


def known_hashes(level: int, index: int) -> bytes:
    leaves = KNOWN_LEAVES[index << level : (index + 1) << level]
    return Frontier().extended(map(leaf_hash, leaves)).root()


def test_the_reference_roots_come_out() -> None:
    for size, expected in enumerate(KNOWN_ROOTS):
        assert Frontier().extended(map(leaf_hash, KNOWN_LEAVES[:size])).root().hex() == expected
        assert root(size, known_hashes).hex() == expected


def test_the_reference_proofs_come_out() -> None:
    for (index, size), expected in KNOWN_INCLUSION.items():
        assert [one.hex() for one in inclusion_proof(index, size, known_hashes)] == expected
    for (old, new), expected in KNOWN_CONSISTENCY.items():
        assert [one.hex() for one in consistency_proof(old, new, known_hashes)] == expected


def test_every_leaf_of_every_tree_up_to_512_is_proven_as_the_rfc_says() -> None:
    for size in range(1, MOST + 1):
        head = mth(0, size)
        for index in range(size):
            proof = inclusion_proof(index, size, hashes)
            assert proof == path(index, 0, size)
            verify_inclusion(HASHED[index], index, size, proof, head)


def test_every_pair_of_trees_up_to_512_is_proven_as_the_rfc_says() -> None:
    for new in range(1, MOST + 1):
        for old in range(1, new + 1):
            proof = consistency_proof(old, new, hashes)
            assert proof == subproof(old, 0, new, True)
            verify_consistency(old, mth(0, old), new, mth(0, new), proof)


def test_a_path_tells_both_roots_without_knowing_either() -> None:
    for new in range(2, 130):
        for old in range(1, new):
            assert roots_by_consistency(old, new, consistency_path(old, new, hashes)) == (mth(0, old), mth(0, new))


def test_the_empty_tree_is_the_beginning_of_every_tree() -> None:
    for size in (0, 1, 5, 8):
        assert consistency_proof(0, size, hashes) == ()
        verify_consistency(0, EMPTY_ROOT, size, mth(0, size), ())


def test_appending_one_by_one_and_all_at_once_are_the_same() -> None:
    one_by_one = Frontier()
    for size, one in enumerate(HASHED[:300]):
        assert one_by_one.root() == mth(0, size)
        assert one_by_one == frontier(size, hashes)
        one_by_one = one_by_one.append(one)
    assert one_by_one == Frontier().extended(HASHED[:300])


@given(st.lists(st.integers(0, 60), max_size=8))
def test_any_sequence_of_appends_gives_the_naive_root(steps: list[int]) -> None:
    tree, size = Frontier(), 0
    for step in steps:
        tree = tree.extended(HASHED[size : size + step])
        size += step
        assert (tree.size, tree.root()) == (size, mth(0, size))


def flips(data: bytes) -> list[bytes]:
    return [
        bytes(b ^ (1 << bit if at == place else 0) for at, b in enumerate(data))
        for place in range(32)
        for bit in range(8)
    ]


def spoilt(proof: tuple[bytes, ...]) -> list[tuple[bytes, ...]]:
    """Every bit of every element, every element left out, twice, or in its neighbour's place; more at either end."""
    made = [(*proof[:at], one, *proof[at + 1 :]) for at in range(len(proof)) for one in flips(proof[at])]
    made += [(*proof[:at], *proof[at + 1 :]) for at in range(len(proof))]
    made += [(*proof[:at], proof[at], *proof[at:]) for at in range(len(proof))]
    made += [(*proof[:at], proof[at + 1], proof[at], *proof[at + 2 :]) for at in range(len(proof) - 1)]
    made += [(*proof, EMPTY_ROOT), (EMPTY_ROOT, *proof), (*proof, b""), tuple(one[:31] for one in proof) or (b"",)]
    return made


@pytest.mark.parametrize(("index", "size"), [(0, 1), (0, 2), (6, 7), (5, 8), (12, 13), (77, 300), (511, 512)])
def test_a_spoilt_inclusion_proof_is_refused(index: int, size: int) -> None:
    proof, head, leaf = inclusion_proof(index, size, hashes), mth(0, size), HASHED[index]
    for wrong in spoilt(proof):
        with pytest.raises(ProofInvalid):
            verify_inclusion(leaf, index, size, wrong, head)
    for wrong_hash in (*flips(head), b"", head[:31]):
        with pytest.raises(ProofInvalid):
            verify_inclusion(leaf, index, size, proof, wrong_hash)
    for wrong_leaf in (*flips(leaf), b"", leaf + b"\x00"):
        with pytest.raises(ProofInvalid):
            verify_inclusion(wrong_leaf, index, size, proof, head)


@pytest.mark.parametrize(("old", "new"), [(1, 2), (3, 7), (4, 7), (6, 8), (8, 8), (64, 300), (127, 300), (511, 512)])
def test_a_spoilt_consistency_proof_is_refused(old: int, new: int) -> None:
    proof, older, newer = consistency_proof(old, new, hashes), mth(0, old), mth(0, new)
    for wrong in spoilt(proof):
        with pytest.raises(ProofInvalid):
            verify_consistency(old, older, new, newer, wrong)
    for wrong_hash in (*flips(older), b"", older[:31]):
        with pytest.raises(ProofInvalid):
            verify_consistency(old, wrong_hash, new, newer, proof)
        with pytest.raises(ProofInvalid):
            verify_consistency(old, older, new, wrong_hash, proof)


def test_a_proof_holds_at_no_other_index_size_or_age() -> None:
    for size in range(1, 40):
        for index in range(size):
            proof = inclusion_proof(index, size, hashes)
            for other in range(-1, size + 2):
                if other != index:
                    with pytest.raises(ProofInvalid):
                        verify_inclusion(HASHED[index], other, size, proof, mth(0, size))
    for new in range(2, 40):
        for old in range(1, new):
            proof = consistency_proof(old, new, hashes)
            for other in range(-1, new + 2):
                if other != old:
                    with pytest.raises(ProofInvalid):
                        verify_consistency(other, mth(0, old), new, mth(0, new), proof)


def test_a_node_does_not_pass_for_a_leaf() -> None:
    inner = node_hash(HASHED[0], HASHED[1])
    assert leaf_hash(HASHED[0] + HASHED[1]) != inner
    verify_inclusion(inner, 0, 2, (hashes(1, 1),), mth(0, 4))  # a caller that lets a node in as a leaf is not helped
    with pytest.raises(ProofInvalid):
        verify_inclusion(leaf_hash(HASHED[0] + HASHED[1]), 0, 2, (hashes(1, 1),), mth(0, 4))


@pytest.mark.parametrize(
    ("old", "older", "new", "newer", "proof"),
    [
        (0, HASHED[0], 4, mth(0, 4), ()),
        (0, EMPTY_ROOT, 4, mth(0, 4), (HASHED[0],)),
        (0, EMPTY_ROOT, 0, HASHED[0], ()),
        (4, mth(0, 4), 4, mth(0, 3), ()),
        (4, mth(0, 4), 4, mth(0, 4), (mth(0, 4),)),
        (5, mth(0, 5), 4, mth(0, 4), ()),
        (-1, EMPTY_ROOT, 4, mth(0, 4), ()),
        (4, mth(0, 4), MAX_SIZE, mth(0, 4), ()),
    ],
)
def test_what_needs_no_path_is_still_checked(old: int, older: bytes, new: int, newer: bytes, proof: tuple) -> None:
    with pytest.raises(ProofInvalid):
        verify_consistency(old, older, new, newer, proof)


def test_proofs_of_what_is_not_there_are_not_made() -> None:
    for index, size in ((0, 0), (5, 5), (-1, 5), (0, MAX_SIZE)):
        with pytest.raises(Malformed):
            inclusion_proof(index, size, hashes)
    for old, new in ((6, 5), (-1, 5), (1, MAX_SIZE)):
        with pytest.raises(Malformed):
            consistency_proof(old, new, hashes)
    with pytest.raises(Malformed):
        root(-1, hashes)


@pytest.mark.parametrize(
    ("size", "parts"),
    [(1, ()), (0, (EMPTY_ROOT,)), (3, (EMPTY_ROOT,)), (1, (b"short",)), (-1, ()), (MAX_SIZE, (EMPTY_ROOT,))],
)
def test_a_frontier_has_the_subtrees_of_its_size(size: int, parts: tuple[bytes, ...]) -> None:
    with pytest.raises(Malformed):
        Frontier(size, parts)


def test_a_path_of_the_largest_tree_has_at_most_63_hashes() -> None:
    """Of a tree whose leaves are all the same, since then a subtree's root follows from its height."""

    @cache
    def same(level: int) -> bytes:
        return node_hash(same(level - 1), same(level - 1)) if level else HASHED[0]

    size = MAX_SIZE - 1
    head = root(size, lambda level, _: same(level))
    for index in (0, size // 2, size - 1):
        proof = inclusion_proof(index, size, lambda level, _: same(level))
        assert len(proof) <= 63
        verify_inclusion(HASHED[0], index, size, proof, head)
    for old in (1, 3, 1 << 62, (1 << 62) + 1, size - 1):
        proof = consistency_proof(old, size, lambda level, _: same(level))
        verify_consistency(old, root(old, lambda level, _: same(level)), size, head, proof)
