"""The coordinator's link to one cosigner: its end is told to everybody, however much is under way."""

from __future__ import annotations

import asyncio

import pytest

from coordinator.cosigners import Link
from oms_core.errors import Reason, Unavailable
from proto import cosigner_pb2 as pb


async def test_the_end_of_a_link_is_told_to_all_who_wait_for_an_answer() -> None:
    link = Link(1)
    asked = [asyncio.create_task(link.ask(pb.ToCosigner(), 60)) for _ in range(3)]
    while len(link.pending) < 3:
        await asyncio.sleep(0)
    link.close()
    for one in await asyncio.gather(*asked, return_exceptions=True):
        assert isinstance(one, Unavailable)
        assert one.reason is Reason.PEER_UNREACHABLE
    with pytest.raises(Unavailable):
        await link.ask(pb.ToCosigner(), 60)


async def test_the_end_of_a_link_reaches_its_stream_although_nothing_more_fits_in() -> None:
    link = Link(1)
    while not link.outgoing.full():
        link.outgoing.put_nowait(pb.ToCosigner())
    link.close()
    sent = [link.outgoing.get_nowait() for _ in range(link.outgoing.qsize())]
    assert sent[-1] is None
