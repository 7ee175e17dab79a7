"""The calls by which anybody follows the log: what they hand out, how much at once, and what they refuse."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from coordinator.api_log import LogCalls
from coordinator.database import open_database
from coordinator.journal import Journal, append
from oms_core.errors import Malformed, Unauthenticated
from oms_core.log.entries import Record, read_entry
from oms_core.log.note import read_note, verify_log
from oms_core.log.tree import Frontier, leaf_hash, verify_consistency, verify_inclusion
from proto import oms_pb2 as pb
from tests.logs import ORIGIN, WITNESSES

KEY = Ed25519PrivateKey.from_private_bytes(b"\x07" * 32)
COUNT = 300


def asked_by(kind: str) -> Any:
    """A call by a client with such a certificate."""
    names = {"x509_subject_alternative_name": [f"spiffe://counterseal/{kind}/front-end".encode()]}
    return SimpleNamespace(auth_context=lambda: names)


OMS = asked_by("oms")


@pytest.fixture
async def calls(tmp_path: Path) -> AsyncIterator[LogCalls]:
    """A log of 300 entries, one of them large, whose head is signed."""
    engine = await open_database(f"sqlite:///{tmp_path / 'log.sqlite'}")
    async with engine.begin() as connection:
        for number in range(COUNT):
            record = Record("desk", b"", "", (bytes(5 << 20 if number == 200 else 1000),))
            await append(connection, "order.signed", f"txn_{number}", record)
    made = LogCalls()
    made._journal = Journal(engine, KEY, ORIGIN)
    await made._journal.checkpoint()
    yield made
    await engine.dispose()


async def items(calls: LogCalls, start: int, limit: int) -> list[int]:
    answer = await calls.ListLogItems(pb.ListLogItemsRequest(start=start, limit=limit), OMS)
    assert answer.size == COUNT
    return [read_entry(one.entry).index for one in answer.items]


async def test_entries_come_in_order_and_in_batches_of_bounded_size(calls: LogCalls) -> None:
    assert await items(calls, 0, 5) == [0, 1, 2, 3, 4]
    assert await items(calls, 0, 0) == list(range(100))
    assert await items(calls, 0, 1_000_000) == list(range(200))
    assert await items(calls, 200, 1000) == [200]
    assert await items(calls, 201, 1000) == list(range(201, 300))
    assert await items(calls, COUNT, 5) == []
    assert await items(calls, 1 << 62, 1000) == []
    with pytest.raises(Malformed):
        await items(calls, (1 << 63) - 1, 1000)


async def test_proofs_hold_under_the_head_that_is_handed_out(calls: LogCalls) -> None:
    shown = await calls.GetCheckpoint(pb.GetCheckpointRequest(), OMS)
    head = verify_log(read_note(shown.note), calls._journal.verifier)
    assert (shown.size, shown.cosignatures) == (head.size, 0) == (COUNT, 0)
    leaves = []
    while len(leaves) < COUNT:
        answer = await calls.ListLogItems(pb.ListLogItemsRequest(start=len(leaves), limit=1000), OMS)
        leaves += [leaf_hash(one.entry) for one in answer.items]
    path = (await calls.GetLogProof(pb.GetLogProofRequest(index=7, size=COUNT), OMS)).hashes
    verify_inclusion(leaves[7], 7, COUNT, path, head.root)
    proof = (await calls.GetLogConsistency(pb.GetLogConsistencyRequest(old=250, new=COUNT), OMS)).hashes
    verify_consistency(250, Frontier().extended(leaves[:250]).root(), COUNT, head.root, proof)


async def test_a_head_with_as_many_cosignatures_as_wanted_is_preferred(calls: LogCalls) -> None:
    journal = calls._journal
    note = await journal.sign_at(100)
    lines = "".join(one.cosign(read_note(note).body).line() for one in WITNESSES[:4])
    await journal.keep_cosignatures(100, note + lines.encode())
    for wanted, size, has in ((0, COUNT, 0), (1, 100, 4), (4, 100, 4), (5, COUNT, 0)):
        shown = await calls.GetCheckpoint(pb.GetCheckpointRequest(cosignatures=wanted), OMS)
        assert (shown.size, shown.cosignatures) == (size, has)


@pytest.mark.parametrize("number", [COUNT + 1, 1 << 63, (1 << 64) - 1])
async def test_proofs_in_trees_that_are_not_there_are_refused(calls: LogCalls, number: int) -> None:
    for work in (
        calls.GetLogProof(pb.GetLogProofRequest(index=0, size=number), OMS),
        calls.GetLogProof(pb.GetLogProofRequest(index=number, size=COUNT), OMS),
        calls.GetLogConsistency(pb.GetLogConsistencyRequest(old=1, new=number), OMS),
        calls.GetLogConsistency(pb.GetLogConsistencyRequest(old=number, new=COUNT), OMS),
    ):
        with pytest.raises(Malformed):
            await work


async def test_only_clients_of_the_oms_are_answered(calls: LogCalls) -> None:
    for kind in ("cosigner", "nobody"):
        other = asked_by(kind)
        for work in (
            calls.GetCheckpoint(pb.GetCheckpointRequest(), other),
            calls.ListLogItems(pb.ListLogItemsRequest(), other),
            calls.GetLogProof(pb.GetLogProofRequest(index=0, size=1), other),
            calls.GetLogConsistency(pb.GetLogConsistencyRequest(old=0, new=1), other),
        ):
            with pytest.raises(Unauthenticated):
                await work
