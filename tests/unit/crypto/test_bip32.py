"""Public derivation: BIP32's own vectors, another implementation's secret derivation, and every refusal."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from eth_account.hdaccount.deterministic import SoftNode, derive_child_key
from hypothesis import given, settings
from hypothesis import strategies as st

from oms_core.crypto import bip32
from oms_core.crypto.bip32 import ExtendedKey, derive, fingerprint, serialize, tweak, xpub
from oms_core.crypto.curve import IDENTITY, Point, Q, mul_base
from oms_core.encoding import decode, encode
from oms_core.errors import Malformed

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "bip32.json").read_text())
CHAINS = {chain["vector"]: [(node["path"], node["xpub"]) for node in chain["nodes"]] for chain in VECTORS["chains"]}
NODES = [(f"{vector} {path}", text) for vector, nodes in CHAINS.items() for path, text in nodes]
KEY = mul_base(0xC0FFEE)
CODE = bytes(range(32))

indices = st.integers(0, (1 << 31) - 1)
paths = st.lists(indices, max_size=8).map(tuple)


def parse(text: str) -> tuple[int, bytes, int, ExtendedKey]:
    """Depth, parent's fingerprint, index and key of a published string; the checksum has to hold."""
    number = 0
    for character in text:
        number = 58 * number + "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz".index(character)
    data = number.to_bytes(82, "big")
    assert hashlib.sha256(hashlib.sha256(data[:78]).digest()).digest()[:4] == data[78:]
    assert data[:4].hex() == "0488b21e"
    return (
        data[4],
        data[5:9],
        int.from_bytes(data[9:13], "big"),
        ExtendedKey(Point.from_bytes(data[45:78]), data[13:45]),
    )


def public_pairs() -> Iterator[tuple[str, str, tuple[int, ...]]]:
    """Every published node with each descendant that public derivation reaches, and the path between them."""
    for nodes in CHAINS.values():
        for i, (upper, parent) in enumerate(nodes):
            for lower, child in nodes[i + 1 :]:
                steps = lower[len(upper) + 1 :].split("/")
                if not any(step.endswith("'") for step in steps):
                    yield parent, child, tuple(map(int, steps))


PAIRS = list(public_pairs())


def test_the_vectors_hold_every_step_that_public_derivation_can_take() -> None:
    assert [len(nodes) for nodes in CHAINS.values()] == [6, 6, 2, 3]
    assert [path for _, _, path in PAIRS] == [(1,), (2,), (2, 1_000_000_000), (1_000_000_000,), (0,), (1,), (2,)]


@pytest.mark.parametrize(("parent", "child", "path"), PAIRS)
def test_a_published_parent_has_the_published_child(parent: str, child: str, path: tuple[int, ...]) -> None:
    depth, _, _, root = parse(parent)
    made = derive(root.public_key, root.chain_code, path)
    above = derive(root.public_key, root.chain_code, path[:-1])
    place = depth + len(path), fingerprint(above.public_key), path[-1]
    assert serialize(made.public_key, made.chain_code, *place) == child


@pytest.mark.parametrize(("name", "text"), NODES)
def test_a_published_string_is_written_again_with_all_its_leading_zeros(name: str, text: str) -> None:
    depth, parent, index, key = parse(text)
    assert serialize(key.public_key, key.chain_code, depth, parent, index) == text, name


def test_a_root_and_the_path_below_it_have_their_published_strings() -> None:
    _, _, _, root = parse(CHAINS[2][0][1])
    assert xpub(root.public_key, root.chain_code, ()) == CHAINS[2][0][1]
    assert xpub(root.public_key, root.chain_code, (0,)) == CHAINS[2][1][1]


@given(secret=st.integers(1, Q - 1), code=st.binary(min_size=32, max_size=32), index=indices)
@settings(max_examples=60)
def test_the_child_is_the_one_that_secret_derivation_gives(secret: int, code: bytes, index: int) -> None:
    child, child_code = derive_child_key(secret.to_bytes(32, "big"), code, SoftNode(index))
    assert derive(mul_base(secret), code, (index,)) == ExtendedKey(mul_base(int.from_bytes(child, "big")), child_code)


def test_leading_zeros_of_coordinate_and_chain_code_are_hashed_and_kept() -> None:
    secret = next(k for k in range(1, 5000) if mul_base(k).x < 1 << 248)
    index = next(i for i in range(5000) if derive(mul_base(secret), bytes(32), (i,)).chain_code[0] == 0)
    child, code = derive_child_key(secret.to_bytes(32, "big"), bytes(32), SoftNode(index))
    made = derive(mul_base(secret), bytes(32), (index,))
    assert made == ExtendedKey(mul_base(int.from_bytes(child, "big")), code)
    _, parent, number, key = parse(xpub(mul_base(secret), bytes(32), (index,)))
    assert (parent, number, key) == (fingerprint(mul_base(secret)), index, made)


@given(paths)
@settings(max_examples=40)
def test_a_path_adds_one_tweak_times_the_generator(path: tuple[int, ...]) -> None:
    theta = tweak(KEY, CODE, path)
    assert 0 <= theta < Q
    assert derive(KEY, CODE, path).public_key == KEY + mul_base(theta)


@given(paths, st.integers(0, 8))
@settings(max_examples=40)
def test_a_path_may_be_walked_in_two_parts(path: tuple[int, ...], cut: int) -> None:
    middle = derive(KEY, CODE, path[:cut])
    assert derive(middle.public_key, middle.chain_code, path[cut:]) == derive(KEY, CODE, path)
    parts = tweak(KEY, CODE, path[:cut]) + tweak(middle.public_key, middle.chain_code, path[cut:])
    assert parts % Q == tweak(KEY, CODE, path)


def test_the_empty_path_is_the_key_itself() -> None:
    assert tweak(KEY, CODE, ()) == 0
    assert derive(KEY, CODE, ()) == ExtendedKey(KEY, CODE)


def test_an_extended_key_is_written_and_read_canonically() -> None:
    key = derive(KEY, CODE, (7,))
    assert decode(ExtendedKey, encode(key)) == key


BAD_PATHS = [(1 << 31,), (0, 1 << 31), (-1,), (0, -(1 << 31)), (1 << 32,), (0,) * 9, (True,), (1.0,), ("1",)]


@pytest.mark.parametrize("path", BAD_PATHS)
@pytest.mark.parametrize("reach", [derive, tweak, xpub])
def test_a_path_that_is_hardened_negative_too_long_or_no_number_is_refused(reach, path) -> None:
    with pytest.raises(Malformed, match="a path"):
        reach(KEY, CODE, path)


@pytest.mark.parametrize("path", [(), (0,)])
@pytest.mark.parametrize("reach", [derive, tweak, xpub])
def test_a_chain_code_of_another_size_and_the_identity_are_refused_on_any_path(reach, path) -> None:
    for code in (b"", CODE[:31], CODE + b"\0"):
        with pytest.raises(Malformed, match="a chain code has 32 bytes"):
            reach(KEY, code, path)
    with pytest.raises(Malformed, match="the identity is not a public key"):
        reach(IDENTITY, CODE, path)


def the_step_gives(monkeypatch: pytest.MonkeyPatch, number: int, theta: int) -> None:
    """Let the ``number``-th HMAC from now on begin with ``theta``; the others stay what they are."""
    calls, real = [], bip32.hmac.digest

    def digest(key: bytes, message: bytes, name: str) -> bytes:
        calls.append(message)
        return theta.to_bytes(32, "big") + bytes(32) if len(calls) == number else real(key, message, name)

    monkeypatch.setattr(bip32.hmac, "digest", digest)


@pytest.mark.parametrize("theta", [Q, Q + 1, 2**256 - 1])
def test_a_step_beyond_the_group_order_is_not_reduced_but_refused(monkeypatch, theta: int) -> None:
    for reach in (derive, tweak, xpub):
        with monkeypatch.context() as patch:
            the_step_gives(patch, 2, theta)
            with pytest.raises(Malformed, match="index 40 has no child here; the next one is to be taken"):
                reach(KEY, CODE, (30, 40, 50))


def test_a_step_to_the_identity_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    the_step_gives(monkeypatch, 1, Q - 0xC0FFEE)
    with pytest.raises(Malformed, match="index 30 has no child here"):
        derive(KEY, CODE, (30,))


def test_the_largest_and_the_smallest_step_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    for theta in (0, 1, Q - 1):
        with monkeypatch.context() as patch:
            the_step_gives(patch, 1, theta)
            assert derive(KEY, CODE, (0,)) == ExtendedKey(KEY + mul_base(theta), bytes(32))


@pytest.mark.parametrize(
    ("depth", "parent", "index"),
    [(-1, bytes(4), 0), (256, b"abcd", 1), (1, b"abc", 1), (1, b"abcde", 1), (1, b"abcd", -1), (1, b"abcd", 1 << 32)],
)
def test_a_place_in_the_tree_that_does_not_fit_its_bytes_is_refused(depth: int, parent: bytes, index: int) -> None:
    with pytest.raises(Malformed, match="a depth has one byte"):
        serialize(KEY, CODE, depth, parent, index)


@pytest.mark.parametrize(("parent", "index"), [(b"abcd", 0), (bytes(4), 1)])
def test_a_root_with_a_parent_or_an_index_is_refused(parent: bytes, index: int) -> None:
    with pytest.raises(Malformed, match="a root has no parent and no index"):
        serialize(KEY, CODE, 0, parent, index)


def test_what_is_no_key_has_no_string_and_no_fingerprint() -> None:
    with pytest.raises(Malformed, match="the identity"):
        serialize(IDENTITY, CODE, 0, bytes(4), 0)
    with pytest.raises(Malformed, match="the identity"):
        fingerprint(IDENTITY)
    with pytest.raises(Malformed, match="32 bytes"):
        serialize(KEY, CODE[1:], 0, bytes(4), 0)
