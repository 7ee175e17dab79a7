"""The tree in tiles: their layout, as C2SP tlog-tiles has it, and the same roots and proofs as without them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oms_core.errors import LocalError, Malformed, Reason
from oms_core.log.tiles import (
    TILE_WIDTH,
    bundle,
    entries_path,
    hashes_from,
    new_tiles,
    read_bundle,
    tile_path,
)
from oms_core.log.tree import (
    Frontier,
    consistency_proof,
    frontier,
    inclusion_proof,
    leaf_hash,
    root,
    verify_consistency,
    verify_inclusion,
)

LEAVES = [leaf_hash(number.to_bytes(4, "big")) for number in range(70_000)]
Tiles = dict[tuple[int, int], bytes]


def none(level: int, index: int) -> bytes:
    raise AssertionError(f"tile {level}/{index} was read")


def reader(tiles: Tiles, seen: list[tuple[int, int]] | None = None) -> Callable[[int, int], bytes]:
    def read(level: int, index: int) -> bytes:
        if seen is not None:
            seen.append((level, index))
        return tiles[level, index]

    return read


@pytest.fixture(scope="module")
def large() -> Tiles:
    return dict(new_tiles(0, LEAVES, none))


def widths(tiles: Tiles, level: int) -> list[int]:
    return [len(tile) // 32 for (at, _), tile in sorted(tiles.items()) if at == level]


def test_70000_entries_make_the_tiles_that_the_specification_counts(large: Tiles) -> None:
    assert widths(large, 0) == [256] * 273 + [112]
    assert widths(large, 1) == [256, 17]
    assert widths(large, 2) == [1]
    assert len(large) == 274 + 2 + 1


def test_256_entries_make_a_full_tile_and_a_partial_one_above_it() -> None:
    tiles = dict(new_tiles(0, LEAVES[:256], none))
    assert widths(tiles, 0) == [256]
    assert widths(tiles, 1) == [1]
    assert tiles[1, 0] == Frontier().extended(LEAVES[:256]).root()


def test_a_tile_holds_the_roots_that_the_specification_names(large: Tiles) -> None:
    """MTH(D[(n * 256 + i) * 256**l : (n * 256 + i + 1) * 256**l])."""
    for level, n, i in ((0, 5, 7), (1, 0, 200), (1, 1, 16), (2, 0, 0)):
        begin = (n * 256 + i) * 256**level
        expected = Frontier().extended(LEAVES[begin : begin + 256**level]).root()
        assert large[level, n][i * 32 : i * 32 + 32] == expected


def test_roots_and_proofs_over_tiles_hold(large: Tiles) -> None:
    sizes = (1, 255, 256, 257, 65_535, 65_536, 65_537, 69_999, 70_000)
    for size in sizes:
        hashes = hashes_from(reader(large), size)  # the tiles hold more, and that does not matter
        head = root(size, hashes)
        assert head == Frontier().extended(LEAVES[:size]).root()
        assert frontier(size, hashes).root() == head
        for index in {0, size // 3, size - 1}:
            verify_inclusion(LEAVES[index], index, size, inclusion_proof(index, size, hashes), head)
        for old in (one for one in sizes if one <= size):
            older = Frontier().extended(LEAVES[:old]).root()
            verify_consistency(old, older, size, head, consistency_proof(old, size, hashes))


def test_a_proof_reads_few_tiles_and_each_once(large: Tiles) -> None:
    """At 1,000,000 entries as at 70,000: three levels, at each the tile on the way and the one at the right edge."""
    for size in (65_537, 69_999, 70_000):
        for index in (0, 40_000, 65_536):
            seen: list[tuple[int, int]] = []
            inclusion_proof(index, size, hashes_from(reader(large, seen), size))
            assert len(seen) == len(set(seen)) <= 6
        for old in (1, 300, 65_536, 65_537):
            seen = []
            consistency_proof(old, size, hashes_from(reader(large, seen), size))
            assert len(seen) == len(set(seen)) <= 6


def test_a_proof_of_a_million_entries_reads_at_most_six_tiles() -> None:
    """All tiles are made up here, since which ones are read does not depend on what they hold."""
    seen: list[tuple[int, int]] = []

    def read(level: int, index: int) -> bytes:
        seen.append((level, index))
        return bytes(32 * TILE_WIDTH)

    for size in (1_000_000, 1_048_575):
        for place in (1, 2, 65_535, 65_536, 524_288, 777_777, 999_999):
            seen.clear()
            inclusion_proof(place, size, hashes_from(read, size))
            assert len(seen) <= 6
            seen.clear()
            consistency_proof(place, size, hashes_from(read, size))
            assert len(seen) <= 6


def test_appending_reads_and_writes_one_tile_a_level(large: Tiles) -> None:
    tiles = {key: tile for key, tile in large.items() if key != (0, 273)} | {(0, 273): large[0, 273][: 111 * 32]}
    seen: list[tuple[int, int]] = []
    assert new_tiles(69_999, LEAVES[69_999:], reader(tiles, seen)) == {(0, 273): large[0, 273]}
    assert seen == [(0, 273)]


@settings(max_examples=60)
@given(st.lists(st.one_of(st.integers(0, 5), st.integers(200, 600)), max_size=9))
def test_tiles_grow_to_the_same_whatever_the_steps(steps: list[int]) -> None:
    tiles: Tiles = {}
    size = 0
    for step in steps:
        tiles.update(new_tiles(size, LEAVES[size : size + step], reader(tiles)))
        size += step
        assert root(size, hashes_from(reader(tiles), size)) == Frontier().extended(LEAVES[:size]).root()
    assert tiles == new_tiles(0, LEAVES[:size], none)


def test_a_store_and_a_size_of_two_moments_are_noticed(large: Tiles) -> None:
    for old_size in (69_990, 70_000 + 1):
        with pytest.raises(LocalError) as caught:
            new_tiles(old_size, LEAVES[:1], reader(large))
        assert caught.value.reason is Reason.STORE_CORRUPT
    for tile in (b"", bytes(31), bytes(33), bytes(111 * 32)):
        with pytest.raises(LocalError):
            root(70_000, hashes_from(reader(large | {(0, 273): tile}), 70_000))


def test_a_subtree_that_the_tree_does_not_have_is_not_made_up(large: Tiles) -> None:
    hashes = hashes_from(reader(large), 300)
    for level, index in ((0, 300), (8, 1), (9, 0), (-1, 0), (0, -1), (64, 0)):
        with pytest.raises(Malformed):
            hashes(level, index)
    for size, leaves in ((-1, LEAVES[:1]), (0, [b"short"])):
        with pytest.raises(Malformed):
            new_tiles(size, leaves, none)


@pytest.mark.parametrize(
    ("level", "index", "width", "path"),
    [
        (0, 0, 256, "tile/0/000"),
        (0, 273, 112, "tile/0/273.p/112"),
        (1, 1, 17, "tile/1/001.p/17"),
        (63, 999, 1, "tile/63/999.p/1"),
        (0, 1000, 256, "tile/0/x001/000"),
        (3, 1_234_067, 255, "tile/3/x001/x234/067.p/255"),
    ],
)
def test_paths_are_as_specified(level: int, index: int, width: int, path: str) -> None:
    assert tile_path(level, index, width) == path
    assert entries_path(index, width) == path.replace(f"tile/{level}/", "tile/entries/")


def test_no_path_is_made_for_what_no_tree_has() -> None:
    for level, index, width in ((64, 0, 256), (-1, 0, 256), (0, -1, 256), (0, 1 << 63, 256), (0, 0, 0), (0, 0, 257)):
        with pytest.raises(Malformed):
            tile_path(level, index, width)


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=256))
def test_a_bundle_reads_back_as_its_entries(entries: list[bytes]) -> None:
    assert read_bundle(bundle(entries)) == tuple(entries)


def test_a_bundle_has_each_entry_after_its_length() -> None:
    assert bundle([b"ab", b"", b"c" * 300]) == b"\x00\x02ab\x00\x00\x01\x2c" + b"c" * 300


@pytest.mark.parametrize("data", [b"", b"\x00", b"\x00\x01", b"\x00\x02a", b"\x00\x01a\x00", bytes(2 * 257)])
def test_a_bundle_that_is_cut_off_or_too_long_is_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        read_bundle(data)


@pytest.mark.parametrize("entries", [[], [b""] * 257, [bytes(65_536)]])
def test_a_bundle_of_too_much_or_nothing_is_not_made(entries: list[bytes]) -> None:
    with pytest.raises(Malformed):
        bundle(entries)
