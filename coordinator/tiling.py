"""The log's tree in the database: tiles, extended by what is new, and read by whoever makes a proof."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection, func, insert, select

from coordinator.tables import log_items, log_tiles
from oms_core.log.tiles import TILE_HEIGHT, TILE_WIDTH, hashes_from, new_tiles
from oms_core.log.tree import HASH, Frontier, frontier

_CHUNK = 4096  # leaves a transaction adds to the tiles


def tiles_in(connection: Connection) -> Callable[[int, int], bytes]:
    """Stored tiles, by level and number."""
    query = select(log_tiles.c.data)

    def read(level: int, number: int) -> bytes:
        where = (log_tiles.c.level == level, log_tiles.c.number == number)
        return bytes(connection.execute(query.where(*where)).scalar() or b"")

    return read


def built(connection: Connection) -> int:
    """How many entries the tiles hold."""
    query = select(log_tiles.c.number, func.length(log_tiles.c.data)).where(log_tiles.c.level == 0)
    last = connection.execute(query.order_by(log_tiles.c.number.desc()).limit(1)).first()
    return last[0] * TILE_WIDTH + last[1] // HASH if last else 0


def frontier_at(connection: Connection, size: int) -> Frontier:
    """The tree of the first ``size`` entries, which the tiles hold."""
    return frontier(size, hashes_from(tiles_in(connection), size))


def root_at(connection: Connection, size: int) -> bytes:
    """The root of the first ``size`` entries, which the tiles hold."""
    return frontier_at(connection, size).root()


def truncate(connection: Connection, size: int) -> None:
    """Make the tiles those of the first ``size`` entries, of which they hold that many at least."""
    for level in connection.execute(select(log_tiles.c.level).distinct()).scalars().all():
        last, width = divmod(size >> level * TILE_HEIGHT, TILE_WIDTH)
        kept = tiles_in(connection)(level, last)[: width * HASH]
        connection.execute(log_tiles.delete().where(log_tiles.c.level == level, log_tiles.c.number >= last))
        if kept:
            connection.execute(insert(log_tiles).values(level=level, number=last, data=kept))


def extend(connection: Connection) -> int:
    """Add the next leaves to the tiles, as many as a transaction should; how many entries they hold then."""
    there = built(connection)
    query = select(log_items.c.leaf).where(log_items.c.index >= there, log_items.c.index < there + _CHUNK)
    leaves = [bytes(one) for one in connection.execute(query.order_by(log_items.c.index)).scalars()]
    if not leaves:
        return there
    made = new_tiles(there, leaves, tiles_in(connection))
    for level, number in made:
        connection.execute(log_tiles.delete().where(log_tiles.c.level == level, log_tiles.c.number == number))
    rows = [{"level": level, "number": number, "data": data} for (level, number), data in made.items()]
    connection.execute(insert(log_tiles), rows)
    return there + len(leaves)
