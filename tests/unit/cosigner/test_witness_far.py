"""A node that is far behind comes back at the same pace from the first entry to the last, in the memory that it has."""

from __future__ import annotations

import resource
import statistics
import time

import pytest

from oms_core.log.witness import Answer
from tests.people import NOW
from tests.unit.cosigner.following import Follower
from tests.unit.cosigner.node import Node

FAR, BATCH = 100_000, 2000


@pytest.mark.slow
def test_a_hundred_thousand_entries_are_followed_at_one_pace_and_in_flat_memory(node: Node) -> None:
    follower = Follower(node)
    for number in range(FAR):
        follower.log.add("order.reading", f"txn_{number % 100}", at=NOW - FAR + number)
    before, seconds = memory(), list[float]()
    while follower.head.size < follower.log.size:
        began = time.perf_counter()
        said = follower.ask(min(follower.log.size, follower.head.size + BATCH))
        seconds.append(time.perf_counter() - began)
        assert said.answer is Answer.OK
    assert follower.root(FAR + 1) == follower.log.tree.root()
    assert statistics.median(seconds[-10:]) < 3 * statistics.median(seconds[:10])
    assert memory() - before < 64 << 20
    assert follower.head.since >= NOW - BATCH


def memory() -> int:
    """The most that this process has ever held, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


@pytest.mark.parametrize("size", [2001, 2002, 4001, 4600])
def test_batches_end_wherever_the_log_has_signed(node: Node, size: int) -> None:
    follower = Follower(node)
    for number in range(size - 1):
        follower.log.add("order.reading", "", at=NOW - size + number)
    assert follower.ask().answer == (Answer.BAD if size > BATCH else Answer.OK)
    assert set(follower.catch_up()) == {Answer.OK}
    assert follower.head.size == follower.head.cosigned == size
    assert follower.witness.head().root == follower.log.tree.root()
