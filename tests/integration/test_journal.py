"""The coordinator's log on both databases: entries without gaps, tiles of the one true tree, heads under its key."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from coordinator import journal as module
from coordinator.journal import WITHHELD, Journal, append
from coordinator.keybook import KeyBook
from coordinator.tables import log_checkpoints, log_items, log_tiles, wallets
from coordinator.tiling import tiles_in
from oms_core.encoding import decode, encode
from oms_core.errors import LocalError, Malformed, Reason
from oms_core.log.entries import GENESIS, SALT, WORKSPACE_APPROVED, Record, item, read_entry, read_record
from oms_core.log.note import LOG, Checkpoint, Verifier, cosignatures, read_note, verify_log
from oms_core.log.tree import leaf_hash, verify_consistency, verify_inclusion
from oms_core.protocol.judge import Verdict
from oms_core.workspace import ChangeWorkspace, Workspace, workspace_digest
from tests.logs import ORIGIN, VERIFIERS, WITNESSES, Tree
from tests.people import NOW, workspace, workspace_request

KEY = Ed25519PrivateKey.from_private_bytes(b"\x07" * 32)
SAID = Record("desk", b"key", "a remark", (b"document",))
# Where tiles begin, end, and begin a level.
SIZES = (1, 2, 3, 5, 127, 255, 256, 257, 300, 511, 512, 513, 1000)


@pytest.fixture
def log(engine: AsyncEngine) -> Journal:
    return Journal(engine, KEY, ORIGIN)


def ours() -> Workspace:
    """The tests' workspace, with this log."""
    made = workspace()
    settings = replace(made.log, origin=ORIGIN, public=KEY.public_key().public_bytes_raw())
    return replace(made, log=settings)


async def add(engine: AsyncEngine, subject: str = "txn_1", event: str = "order.decision", record: Record = SAID) -> int:
    async with engine.begin() as connection:
        return await append(connection, event, subject, record)


async def fill(engine: AsyncEngine, count: int) -> None:
    """Many entries at once."""
    made = []
    async with engine.begin() as connection:
        last = (await connection.execute(module._LAST)).first()
        start = last[0] + 1 if last else 0
        for index in range(start, start + count):
            salt = secrets.token_bytes(SALT)
            one = item(index, 1, "order.signed", f"txn_{index}", -1, SAID, salt)
            row = {"index": index, "entry": one.entry, "record": one.record, "salt": salt, "at": 1}
            made.append({**row, "subject": f"txn_{index}", "leaf": leaf_hash(one.entry)})
        if made:
            await connection.execute(insert(log_items), made)


async def naive(engine: AsyncEngine) -> Tree:
    """The tree over what the table holds, made in memory."""
    async with engine.begin() as connection:
        rows = await connection.execute(select(log_items.c.entry).order_by(log_items.c.index))
        return Tree(bytes(one) for one in rows.scalars())


def head(note: bytes) -> Checkpoint:
    return verify_log(read_note(note), Verifier(ORIGIN, KEY.public_key().public_bytes_raw(), LOG))


async def test_entries_are_read_back_with_their_records_and_the_place_of_the_one_before(
    engine: AsyncEngine, log: Journal
) -> None:
    for subject in ("txn_1", "txn_2", "txn_1", "", "", "txn_1"):
        await add(engine, subject)
    items = await log.items(0, 100, 1 << 20)
    entries = [read_entry(one.entry) for one in items]
    assert [entry.index for entry in entries] == [0, 1, 2, 3, 4, 5]
    assert [entry.previous for entry in entries] == [-1, -1, 0, -1, -1, 2]
    assert [entry.subject for entry in entries] == ["txn_1", "txn_2", "txn_1", "", "", "txn_1"]
    assert all(read_record(entry, one) == SAID for entry, one in zip(entries, items, strict=True))
    assert len({one.salt for one in items}) == 6


async def test_time_in_the_log_never_falls_also_when_the_clock_does(
    engine: AsyncEngine, log: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    for now in (1000.9, 900.0, 1000.0, 1001.0):
        monkeypatch.setattr(module.time, "time", lambda now=now: now)
        await add(engine)
    assert [read_entry(one.entry).at for one in await log.items(0, 9, 1 << 20)] == [1000, 1000, 1000, 1001]


async def test_what_is_rolled_back_leaves_no_entry_and_no_gap(engine: AsyncEngine, log: Journal) -> None:
    async def stopped() -> None:
        async with engine.begin() as connection:
            assert await append(connection, "order.signed", "txn_1", SAID) == 1
            raise RuntimeError("the machine stops here")

    await add(engine)
    with pytest.raises(RuntimeError):
        await stopped()
    assert await add(engine) == 1
    assert len(await log.items(0, 9, 1 << 20)) == 2


async def test_a_record_that_is_too_large_or_holds_a_key_takes_the_whole_step_back(engine: AsyncEngine) -> None:
    values = {"wallet_id": "wal_1", "state": "ACTIVE", "proposal": b"", "key_id": b"", "threshold": 3, "created_at": 1}

    async def step(document: bytes) -> None:
        async with engine.begin() as connection:
            await connection.execute(insert(wallets).values(values))
            await append(connection, "wallet.active", "wal_1", replace(SAID, documents=(document,)))

    for document in (bytes(9 << 20), b"-----BEGIN PRIVATE KEY-----"):
        with pytest.raises(Malformed):
            await step(document)
    async with engine.begin() as connection:
        assert (await connection.execute(select(wallets))).first() is None


async def test_nobody_keeps_what_he_did_from_the_log_by_what_looks_like_a_key_in_his_own_words(
    engine: AsyncEngine, log: Journal
) -> None:
    """A cosigner chooses the bytes that convict it, and what it says of a session that it ends."""
    evidence, key = b"packets with -----BEGIN PRIVATE KEY----- in them", "AGE-SECRET-KEY-1QQ"
    book = KeyBook(engine)
    evidence_id = await book.add_verdict("txn_1", Verdict(4, "presign", "a proof does not hold"), evidence)
    assert await book.quarantined() == {4}
    assert (await book.verdict(evidence_id))["evidence"] == evidence
    async with engine.begin() as connection:
        index = await append(connection, "order.approved", "txn_1", replace(SAID, note=f"cosigner 4 failed: {key}"))
    for one in await log.items(0, index + 1, 1 << 20):
        assert key.encode() not in one.record
        assert evidence not in one.record
    [one] = await log.items(index, index + 1, 1 << 20)
    assert read_record(read_entry(one.entry), one) == replace(SAID, note=WITHHELD)


async def test_tiles_and_heads_are_those_of_the_naive_tree_at_every_size(engine: AsyncEngine, log: Journal) -> None:
    size = 0
    for wanted in SIZES:
        await fill(engine, wanted - size)
        size = wanted
        note, found = await log.checkpoint()
        tree = await naive(engine)
        assert (found, head(note)) == (size, tree.checkpoint(origin=ORIGIN))
        async with engine.begin() as connection:
            rows = (await connection.execute(select(log_tiles))).all()
        assert {(row.level, row.number): bytes(row.data) for row in rows} == tree.tiles
    for wanted in SIZES:
        assert head(await log.sign_at(wanted)) == tree.checkpoint(wanted, ORIGIN)
    with pytest.raises(Malformed):
        await log.sign_at(size + 1)


async def test_proofs_hold_between_all_sizes_and_for_entries_at_all_of_them(engine: AsyncEngine, log: Journal) -> None:
    await fill(engine, 600)
    tree, sizes = await naive(engine), (1, 2, 255, 256, 257, 511, 512, 600)
    for new in sizes:
        for old in (one for one in sizes if one <= new):
            proof = await log.consistency(old, new)
            verify_consistency(old, tree.root(old), new, tree.root(new), proof)
            path = await log.inclusion(old - 1, new)
            verify_inclusion(leaf_hash(tree.entries[old - 1]), old - 1, new, path, tree.root(new))
    for wrong in (log.consistency(600, 599), log.consistency(1, 601), log.inclusion(600, 600), log.inclusion(-1, 5)):
        with pytest.raises(Malformed):
            await wrong


async def test_a_head_is_signed_once_and_found_again(engine: AsyncEngine, log: Journal) -> None:
    await add(engine)
    first = await log.checkpoint()
    assert await log.checkpoint() == first == await Journal(engine, KEY, ORIGIN).checkpoint()
    await add(engine)
    second = await log.checkpoint()
    assert second[1] == 2
    assert await log.newest() == (*second, 0)


async def test_nothing_is_signed_that_does_not_extend_what_was_signed_before(engine: AsyncEngine, log: Journal) -> None:
    await fill(engine, 300)
    await log.checkpoint()
    async with engine.begin() as connection:
        read = await connection.run_sync(lambda inner: tiles_in(inner)(0, 0))
        bent = update(log_tiles).where(log_tiles.c.level == 1, log_tiles.c.number == 0)
        await connection.execute(bent.values(data=leaf_hash(read)))
    await add(engine)
    with pytest.raises(LocalError) as caught:
        await log.checkpoint()
    assert caught.value.reason is Reason.STORE_CORRUPT


async def test_each_witness_newest_cosignature_is_kept_and_the_newest_head_with_enough_of_them_is_found(
    engine: AsyncEngine, log: Journal
) -> None:
    await add(engine)
    note, _ = await log.checkpoint()
    body = read_note(note).body

    def cosigned(*numbers: int, at: int) -> bytes:
        lines = "".join(WITNESSES[number].cosign(body, at).line() for number in numbers)
        return note + lines.encode()

    await log.keep_cosignatures(1, cosigned(0, 1, 2, at=100))
    await log.keep_cosignatures(1, cosigned(1, 2, 3, at=200))
    kept, size, count = await log.newest()
    assert (size, count) == (1, 4)
    times = cosignatures(read_note(kept), VERIFIERS)
    assert [times[WITNESSES[number].verifier.name] for number in range(4)] == [100, 200, 200, 200]
    await add(engine)
    second, _ = await log.checkpoint()
    assert (await log.newest())[1:] == (1, 4)
    assert await log.newest(0) == (second, 2, 0)
    line = WITNESSES[0].cosign(read_note(second).body, 300).line()
    await log.keep_cosignatures(2, second + line.encode())
    assert (await log.newest())[1:] == (2, 1)
    assert (await log.newest(4))[1:] == (1, 4)
    with pytest.raises(Malformed):
        await log.keep_cosignatures(2, note)


async def test_heads_that_nobody_has_cosigned_are_not_kept_for_ever(engine: AsyncEngine, log: Journal) -> None:
    for _ in range(4):
        await add(engine)
        await log.checkpoint()
    async with engine.begin() as connection:
        assert (await connection.execute(select(log_checkpoints.c.size))).scalars().all() == [4]
    line = WITNESSES[0].cosign(read_note(await log.sign_at(2)).body, 100).line()
    await log.keep_cosignatures(2, await log.sign_at(2) + line.encode())
    assert (await log.newest())[1:] == (2, 1)


async def test_items_come_in_batches_that_fit_and_never_none_where_there_is_one(
    engine: AsyncEngine, log: Journal
) -> None:
    for size in (10, 5000, 10, 10):
        await add(engine, record=replace(SAID, documents=(bytes(size),)))
    assert len(await log.items(0, 4, 1 << 20)) == 4
    assert len(await log.items(0, 4, 3000)) == 1
    assert len(await log.items(1, 4, 3000)) == 1
    assert len(await log.items(2, 4, 3000)) == 2
    assert len(await log.items(1, 3, 1 << 20)) == 2
    assert await log.items(4, 9, 1 << 20) == []


async def test_the_log_begins_with_its_workspace_once(engine: AsyncEngine, log: Journal) -> None:
    await log.begin(ours())
    await log.begin(ours())
    [first] = await log.items(0, 9, 1 << 20)
    entry = read_entry(first.entry)
    record = read_record(entry, first)
    assert entry.event == GENESIS
    assert record is not None
    assert decode(Workspace, record.documents[0]) == ours()


async def test_a_coordinator_with_another_key_or_another_log_does_not_start(engine: AsyncEngine, log: Journal) -> None:
    with pytest.raises(LocalError):
        await Journal(engine, Ed25519PrivateKey.generate(), ORIGIN).begin(ours())
    await log.begin(ours())
    other = replace(ours(), log=replace(ours().log, origin="log.example/other"))
    with pytest.raises(LocalError) as caught:
        await Journal(engine, KEY, "log.example/other").begin(other)
    assert "another" in caught.value.message


async def test_a_log_that_does_not_begin_as_one_is_refused(engine: AsyncEngine, log: Journal) -> None:
    await add(engine)
    with pytest.raises(LocalError) as caught:
        await log.begin(ours())
    assert caught.value.reason is Reason.STORE_CORRUPT


async def test_whoever_waits_is_rung_for_and_sees_what_was_appended(engine: AsyncEngine, log: Journal) -> None:
    seen = []

    async def watch() -> None:
        while len(seen) < 3:
            await log.grown.wait()
            log.grown.clear()
            seen.append((await log.checkpoint())[1])

    watching = asyncio.create_task(watch())
    for size in (1, 2, 3):
        await add(engine)
        async with asyncio.timeout(120):
            while not seen or seen[-1] < size:
                await asyncio.sleep(0.01)
    assert seen == [1, 2, 3]
    await watching


async def test_two_keys_sign_side_by_side_while_the_workspace_goes_over_from_one_to_the_other(
    engine: AsyncEngine, log: Journal
) -> None:
    await log.begin(ours())
    old, _ = await log.checkpoint()
    other = Ed25519PrivateKey.generate()
    both = Journal(engine, KEY, ORIGIN, other)
    await both.begin(ours())
    note, size = await both.checkpoint()
    witness = WITNESSES[0].cosign(read_note(note).body).line().encode()
    for own in (log.verifier, Verifier(ORIGIN, other.public_key().public_bytes_raw(), LOG)):
        assert verify_log(read_note(note), own) == verify_log(read_note(old), log.verifier)
    await both.keep_cosignatures(size, note + witness)
    assert await both.newest() == (note + witness, size, 1)
    alone = Journal(engine, other, ORIGIN)
    later = replace(ours(), log=replace(ours().log, public=other.public_key().public_bytes_raw()))
    await alone.begin(later)
    with pytest.raises(LocalError):
        await log.begin(later)
    await add(engine)
    assert verify_log(read_note((await alone.checkpoint())[0]), alone.verifier).size == 2


async def test_a_log_that_begins_late_holds_the_changes_since_the_workspace_that_it_begins_with(
    engine: AsyncEngine, log: Journal
) -> None:
    following = replace(ours(), version=1, parent=workspace_digest(ours()))
    wish = ChangeWorkspace("chg_late", following, "sam", "before there was a log", NOW, NOW + 1000)
    request = encode(workspace_request(wish))
    await log.begin(ours(), (request,))
    await log.begin(ours(), (request,))
    items = await log.items(0, 9, 1 << 20)
    entries = [read_entry(one.entry) for one in items]
    assert [entry.event for entry in entries] == [GENESIS, WORKSPACE_APPROVED]
    record = read_record(entries[1], items[1])
    assert record is not None
    assert record.documents == (request,)
