"""The log's tree in the database: tiles, extended by what is new, and read by whoever makes a proof."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection, func, insert, select

from coordinator.tables import log_items, log_tiles
from oms_core.log.tiles import TILE_WIDTH, new_tiles
from oms_core.log.tree import HASH

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
