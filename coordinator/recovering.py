"""Gets back from cosigners what this coordinator's database has lost of the log: all that they have followed of it.

They keep every entry, and the records by which orders and wallets are known again (coordinator/rebuilding.py). What
the database has written since it was put back, and nobody has cosigned, follows anew behind that; so nothing is lost
twice, and the log never has two histories.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from coordinator.chainbook import ChainBook
from coordinator.config import Config
from coordinator.cosigners import Cosigners, Link
from coordinator.database import open_database
from coordinator.ids import kind_of
from coordinator.journal import OPERATOR, Journal, append
from coordinator.log_key import log_keys
from coordinator.rebuilding import Rebuilding
from coordinator.recalling import (
    Shown,
    check_clock,
    check_followed,
    check_leads,
    completed,
    cosigned,
    longest,
    recalled,
    shown,
)
from coordinator.server import cosigners_server, read_workspace
from coordinator.settling import settle
from coordinator.standing import Standing
from coordinator.tables import log_checkpoints, log_items
from coordinator.tiling import frontier_at, root_at, truncate
from oms_core.encoding import decode
from oms_core.errors import Conflict, LocalError, Malformed, ProofInvalid, Reason, Unavailable
from oms_core.evidence import ChangeWorkspaceRequest
from oms_core.log.entries import AUTHORIZED, COUNTED, GENESIS, Item, Record, read_entry, read_record
from oms_core.log.note import Checkpoint, write_note
from oms_core.log.quorum import degraded
from oms_core.log.roster import witness_verifiers
from oms_core.log.tree import EMPTY_ROOT, leaf_hash
from oms_core.workspace import Workspace, identities

LIMIT = 8 << 20  # bytes of a request
MEANWHILE = "meanwhile"  # order.meanwhile, wallet.meanwhile: a step that came too late to be one
GONE = Record(OPERATOR, b"", "erased", ())

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Recovered:
    """What came of it: entries from ``first`` to below ``size`` are a cosigner's, ``again`` of our own follow anew."""

    first: int
    size: int
    again: int


async def recover_log(config: Config, without: frozenset[int], seconds: float, say: Say) -> Recovered:
    """Wait for all cosigners but those ``without``, and take over what they have followed. `serve` must not run.

    Raises `Unavailable` (QUORUM_UNAVAILABLE) if they are not all there after so many seconds, and what `recover` does.
    """
    standing, keys = Standing(read_workspace(config)), log_keys(config.log)
    engine = await open_database(config.database)
    cosigners = Cosigners(standing)
    server = await cosigners_server(config, cosigners)
    try:
        for row in await ChainBook(engine).versions(standing.current.version):
            standing.advance(decode(ChangeWorkspaceRequest, row["request"], LIMIT).wish.next)
        journal = Journal(engine, keys[0], standing.current.log.origin, *keys[1:])
        links = await _all(cosigners, set(identities(standing.current)) - without, seconds, say)
        if len(links) < (least := degraded(len(standing.current.roster))):
            raise Unavailable(
                f"fewer than {least} cosigners cannot say how far the log went", Reason.QUORUM_UNAVAILABLE
            )
        return await recover(journal, links, standing, say)
    finally:
        cosigners.close()
        await server.stop(1)
        await engine.dispose()


async def _all(cosigners: Cosigners, wanted: set[int], seconds: float, say: Say) -> dict[int, Link]:
    deadline, told = time.monotonic() + seconds, set[int]()
    while not wanted <= set(there := cosigners.present()):
        for index in sorted(set(there) - told):
            say(f"cosigner {index} is there")
        told |= set(there)
        if time.monotonic() > deadline:
            text = f"cosigners {sorted(wanted - set(there))} are not there"
            raise Unavailable(f"{text}; what one of them alone has followed would be lost", Reason.QUORUM_UNAVAILABLE)
        await asyncio.sleep(0.1)
    return {index: there[index] for index in sorted(wanted)}


async def recover(journal: Journal, links: Mapping[int, Link], standing: Standing, say: Say) -> Recovered:
    """Make the database's log the longest that one of these cosigners has followed, in one transaction.

    Whoever does not hand all of it back is passed over for another that has followed as much.
    Raises `LocalError` (LOG_FORKED) if the log that witnesses have cosigned here is not the beginning of it, or two
    have followed different ones; `ProofInvalid` or `Malformed`, which name the cosigner, for a head that is none of
    this log, or if nobody's entries lead to the longest; `Unavailable`, also for this machine's clock (LOG_STALE).
    """
    known = dict[int, Shown]()
    for index, link in links.items():
        known[index] = await shown(journal, link)
        say(f"cosigner {index} has followed {known[index].head.size} entries")
    heads = {index: one.head for index, one in known.items()}
    *others, last = longest(known)
    note, vouched = cosigned(heads[last], known.values(), list(witness_verifiers(standing.current).values()))
    check_clock(vouched)
    done = None
    for index in others:
        try:
            done = await _taken_from(journal, links, index, heads, standing, say)
            break
        except (Malformed, ProofInvalid, Unavailable) as error:
            say(f"{error.message}: another one is asked")
    done = done or await _taken_from(journal, links, last, heads, standing, say)
    if note.signatures and heads[last].size:  # a start goes by how far it was cosigned, and when
        await journal.keep_cosignatures(heads[last].size, write_note(note).encode())
    return done


async def _taken_from(
    journal: Journal,
    links: Mapping[int, Link],
    index: int,
    heads: Mapping[int, Checkpoint],
    versions: Iterable[Workspace],
    say: Say,
) -> Recovered:
    async with journal.engine.begin() as connection:
        books = Rebuilding(connection, versions)
        done, loose = await _take_over(journal, connection, links, index, heads, books, say)
        done = await _follow_anew(connection, index, done, loose, books)
        await settle(connection, books, loose)
    if books.orders or books.wallets:
        say(f"{len(books.orders)} orders and {len(books.wallets)} wallets are as the log has them")
    if books.unknown:
        say(f"{books.unknown} orders were submitted and never authorised: they are lost, and may be proposed again")
    return done


async def _take_over(
    journal: Journal,
    connection: AsyncConnection,
    links: Mapping[int, Link],
    chosen: int,
    heads: Mapping[int, Checkpoint],
    books: Rebuilding,
    say: Say,
) -> tuple[Recovered, list[Item]]:
    """Also returns what was cut out: what nobody has cosigned."""
    link, others = links[chosen], [one for index, one in links.items() if index != chosen]
    target, base = heads[chosen], await journal.cosigned(connection)
    for index, head in heads.items():
        if head.size <= base and await connection.run_sync(root_at, head.size) != head.root:
            raise _forked(index)
    if target.size <= base:
        return Recovered(-1, target.size, 0), []
    if base and not await _here(connection, base - 1, (await recalled(link, base - 1))[:1]):
        await check_followed(link, target)  # else nobody has signed what it says
        raise _forked(chosen)
    tree, first, loose = await connection.run_sync(frontier_at, base), -1, list[Item]()
    roots = {one.size: EMPTY_ROOT for one in heads.values() if one.size > base}
    while tree.size < target.size:
        items = await completed((await recalled(link, tree.size))[: target.size - tree.size], tree.size, others)
        here = await _here(connection, tree.size, items) if first < 0 else 0
        if first < 0 and here < len(items):
            first = tree.size + here
            loose = await _cut(connection, first, base)
        await _put(connection, tree.size + here, items[here:])
        await books.take(items[here:])
        for one in items:
            tree = tree.append(leaf_hash(one.entry))
            if tree.size in roots:
                roots[tree.size] = tree.root()
        say(f"{tree.size} of {target.size} entries")
    check_leads(link, tree, target)
    for index, head in heads.items():
        if head.size > base and roots[head.size] != head.root:
            raise _forked(index)
    return Recovered(first, target.size, 0), loose


async def _follow_anew(
    connection: AsyncConnection, index: int, done: Recovered, loose: list[Item], books: Rebuilding
) -> Recovered:
    """Append what was cut out, behind what is back, and say what has happened.

    Steps of orders that had come further stay no steps: whoever reads the log, also to get it back once more, would
    take an order for denied that had been paid.
    """
    if done.first < 0:
        return replace(done, first=done.size)
    again = [(entry, one) for one in loose if (entry := read_entry(one.entry)).event != GENESIS]
    for entry, one in again:
        event, record = entry.event, read_record(entry, one)
        if record is None and event in COUNTED:
            raise Conflict(f"the record of entry {entry.index}, which cosigners keep, is gone", Reason.WRONG_STATE)
        if books.overrules(entry) or await books.has_given_away(entry, one):
            event = f"{kind_of(entry.subject)}.{MEANWHILE}"
            record = record and replace(record, note=f"{entry.event}: {record.note}")
        made = await append(connection, event, entry.subject, record or GONE)
        if event == AUTHORIZED:
            at = select(log_items.c.at).where(log_items.c.index == made)
            await books.asked_again(entry, (await connection.execute(at)).scalar_one())
        if record is None:  # it is erased there, too: what it said is not made up
            await connection.execute(update(log_items).where(log_items.c.index == made).values(record=b"", salt=b""))
    said = f"entries {done.first} to {done.size - 1} as cosigner {index} has followed them; {len(again)} follow anew"
    await append(connection, "log.recovered", "", Record(OPERATOR, b"", said, ()))
    await books.names.tell()
    return replace(done, again=len(again))


async def _here(connection: AsyncConnection, start: int, items: list[Item]) -> int:
    """How many of these are in the database's log, from the first on."""
    query = select(log_items.c.entry).where(log_items.c.index >= start, log_items.c.index < start + len(items))
    rows = (await connection.execute(query.order_by(log_items.c.index))).scalars().all()
    pairs = enumerate(zip(items, rows, strict=False))
    return next((at for at, (one, row) in pairs if one.entry != bytes(row)), len(rows))


async def _cut(connection: AsyncConnection, index: int, base: int) -> list[Item]:
    """Take what nobody has cosigned out of the log, from an entry on; returns that."""
    query = select(log_items.c.entry, log_items.c.record, log_items.c.salt).where(log_items.c.index >= index)
    rows = (await connection.execute(query.order_by(log_items.c.index))).all()
    await connection.execute(delete(log_items).where(log_items.c.index >= index))
    await connection.execute(delete(log_checkpoints).where(log_checkpoints.c.size > base))
    await connection.run_sync(truncate, base)
    return [Item(*map(bytes, row)) for row in rows]


async def _put(connection: AsyncConnection, start: int, items: list[Item]) -> None:
    """Entries that are back."""
    rows = []
    for index, one in enumerate(items, start):
        entry = read_entry(one.entry)
        row = {"index": index, "entry": one.entry, "record": one.record, "salt": one.salt}
        rows.append(row | {"subject": entry.subject, "at": entry.at, "leaf": leaf_hash(one.entry)})
    if rows:
        await connection.execute(insert(log_items), rows)


def _forked(index: int) -> LocalError:
    text = f"cosigner {index} has followed another history than the one that was cosigned"
    return LocalError(f"{text}; its operator has the proof, by `cosigner compare-head`", Reason.LOG_FORKED)
