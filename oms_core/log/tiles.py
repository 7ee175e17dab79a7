"""The tree as tiles of 256 hashes (C2SP tlog-tiles), over whatever keeps them by (level, index).

A tile of level L holds the roots of complete subtrees of 256**L leaves. One that is full never changes again; of each
level at most the last one is partial. A proof of a tree of a million entries reads six tiles at most.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from oms_core.errors import LocalError, Malformed, Reason
from oms_core.log.tree import HASH, MAX_SIZE, Frontier, Hashes, node_hash

TILE_HEIGHT = 8
TILE_WIDTH = 1 << TILE_HEIGHT
MAX_LEVEL = 63
MAX_ENTRY = (1 << 16) - 1

Read = Callable[[int, int], bytes]
"""(level, index) -> the hashes of a stored tile, whole or partial, one after the other."""


def tile_path(level: int, index: int, width: int = TILE_WIDTH) -> str:
    """Where a tile is served, below the log's prefix. Raises `Malformed` on what no tree has."""
    if not 0 <= level <= MAX_LEVEL:
        raise Malformed(f"there are no tiles of level {level}")
    return _path(str(level), index, width)


def entries_path(index: int, width: int = TILE_WIDTH) -> str:
    """Where a bundle of entries is served. Raises `Malformed`."""
    return _path("entries", index, width)


def bundle(entries: Sequence[bytes]) -> bytes:
    """One to 256 entries, each after its length in two bytes. Raises `Malformed`, `TOO_LARGE` above 65,535 bytes."""
    if not 1 <= len(entries) <= TILE_WIDTH:
        raise Malformed(f"a bundle has 1 to {TILE_WIDTH} entries")
    if any(len(one) > MAX_ENTRY for one in entries):
        raise Malformed(f"an entry has more than {MAX_ENTRY} bytes", Reason.TOO_LARGE)
    return b"".join(len(one).to_bytes(2, "big") + one for one in entries)


def read_bundle(data: bytes) -> tuple[bytes, ...]:
    """The entries of a bundle. Raises `Malformed`."""
    entries, at = list[bytes](), 0
    while at < len(data):
        begin = at + 2
        at = begin + int.from_bytes(data[at:begin], "big")
        if at > len(data) or begin > len(data) or len(entries) == TILE_WIDTH:
            raise Malformed("a bundle that is cut off, or has too many entries")
        entries.append(data[begin:at])
    if not entries:
        raise Malformed("an empty bundle")
    return tuple(entries)


def new_tiles(old_size: int, leaf_hashes: Sequence[bytes], read: Read) -> Mapping[tuple[int, int], bytes]:
    """The tiles that change when these leaves are appended to a tree of ``old_size``, by (level, index).

    Only the partial tiles of the old tree are read, at most one a level. Raises `LocalError` (STORE_CORRUPT) if one of
    them has another width than the old size gives it: then the store and the size are not of one moment.
    """
    if old_size < 0 or old_size + len(leaf_hashes) >= MAX_SIZE or any(len(one) != HASH for one in leaf_hashes):
        raise Malformed("no leaves to append to this tree")
    made: dict[tuple[int, int], bytes] = {}
    level, present, added = 0, old_size, list(leaf_hashes)
    while added:
        index, width = divmod(present, TILE_WIDTH)
        tile = _tile(read, level, index, width, exactly=True) if width else b""
        row = tile + b"".join(added)
        tiles = [row[at : at + TILE_WIDTH * HASH] for at in range(0, len(row), TILE_WIDTH * HASH)]
        made.update({(level, index + number): one for number, one in enumerate(tiles)})
        level, present = level + 1, index
        added = [_tile_root(one) for one in tiles if len(one) == TILE_WIDTH * HASH]
    return made


def hashes_from(read: Read, size: int) -> Hashes:
    """The subtrees of the first ``size`` leaves over stored tiles, which may hold more; each is read at most once.

    Make one for each question: it remembers what it has read. It raises `Malformed` when asked for a subtree that is
    not complete at this size, and `LocalError` (STORE_CORRUPT) if a tile is shorter than the size gives it.
    """
    known: dict[tuple[int, int], list[list[bytes]]] = {}

    def rows(level: int, index: int, height: int) -> list[bytes]:
        """The roots over 2**height hashes each of one tile, made from below."""
        if (level, index) not in known:
            width = min(TILE_WIDTH, (size >> level * TILE_HEIGHT) - index * TILE_WIDTH)
            tile = _tile(read, level, index, width)
            known[level, index] = [[tile[at : at + HASH] for at in range(0, width * HASH, HASH)]]
        made = known[level, index]
        while len(made) <= height:
            below = made[-1]
            made.append([node_hash(below[at], below[at + 1]) for at in range(0, len(below) - 1, 2)])
        return made[height]

    def hashes(level: int, index: int) -> bytes:
        if level < 0 or index < 0 or (index + 1) << level > size:
            raise Malformed(f"a tree of {size} has no complete subtree {index} of level {level}")
        tile_level, height = divmod(level, TILE_HEIGHT)
        tile, at = divmod(index, TILE_WIDTH >> height)
        return rows(tile_level, tile, height)[at]

    return hashes


def _tile(read: Read, level: int, index: int, width: int, exactly: bool = False) -> bytes:
    tile = read(level, index)
    if len(tile) < width * HASH or len(tile) % HASH or (exactly and len(tile) != width * HASH):
        raise LocalError(
            f"tile {level}/{index} has {len(tile)} bytes, and {width} hashes belong to it", Reason.STORE_CORRUPT
        )
    return tile


def _tile_root(tile: bytes) -> bytes:
    return Frontier().extended(tile[at : at + HASH] for at in range(0, len(tile), HASH)).root()


def _path(kind: str, index: int, width: int) -> str:
    if not 0 <= index < MAX_SIZE or not 1 <= width <= TILE_WIDTH:
        raise Malformed("no tile has this index or width")
    digits = str(index)
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    name = "/".join([*(f"x{group}" for group in groups[:-1]), groups[-1]])
    return f"tile/{kind}/{name}" + (f".p/{width}" if width < TILE_WIDTH else "")
