"""Signed bytes: sent as they are until the chain has them, whatever nodes say, and ended by what the chain shows."""

from __future__ import annotations

import sys
from functools import partial
from itertools import count
from typing import Any

import httpx
import pytest

from coordinator import sending
from oms_core.errors import Reason
from oms_core.lifecycle import State
from tests.unit.coordinator.senders import DEPTH, Node, Nodes, Sender, signed
from tests.unit.coordinator.test_exact import Signing
from tests.unit.coordinator.test_exact import desk as desk

PASSING: list[tuple[Any, str]] = [
    ({"code": -32005, "message": "daily request count exceeded, request rate limited"}, Reason.CHAIN_UNAVAILABLE),
    ({"code": -32603, "message": "Internal error"}, Reason.CHAIN_UNAVAILABLE),
    ({"code": -32000, "message": "node is syncing"}, Reason.CHAIN_UNAVAILABLE),
    ({"code": -32000, "message": "txpool is full"}, Reason.CHAIN_UNAVAILABLE),
    ({"code": -32000, "message": "replacement transaction underpriced"}, Reason.NONCE_CONFLICT),
    ({"code": -32000, "message": "nonce too high"}, Reason.NONCE_CONFLICT),
    ({"code": -32000, "message": "insufficient funds for gas * price + value"}, Reason.INSUFFICIENT_FUNDS),
    ({"code": -32000, "message": "transaction underpriced"}, Reason.FEE_EXCEEDED),
    ({"code": -32000, "message": "nobody has ever said this"}, Reason.BROADCAST_REJECTED),
    ("0x" + "00" * 32, Reason.CHAIN_UNAVAILABLE),
    (None, Reason.CHAIN_UNAVAILABLE),
    ([["nonsense"]], Reason.CHAIN_UNAVAILABLE),
    (httpx.Response(200, text="<html>welcome</html>"), Reason.CHAIN_UNAVAILABLE),
    (httpx.Response(429, text="slow down"), Reason.CHAIN_UNAVAILABLE),
]
STAYING = [
    ("invalid sender", Reason.SIGNATURE_INVALID),
    ("invalid chain id for signer", Reason.CHAIN_MISMATCH),
    ("intrinsic gas too low", Reason.GAS_UNSUITABLE),
    ("exceeds block gas limit", Reason.GAS_UNSUITABLE),
    ("oversized data", Reason.BROADCAST_REJECTED),
]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RETRY", "LONGEST_PAUSE", "LOOK"):
        monkeypatch.setattr(sending, name, 0.01)
    monkeypatch.setattr(sending, "LATE", 3600.0)


async def name_of(desk: Signing, order_id: str) -> str:
    return str((await desk._store.order(order_id))["hash"])


@pytest.mark.parametrize(("said", "reason"), PASSING)
async def test_what_passes_is_shown_and_waited_out_and_the_same_bytes_are_sent_again(
    desk: Signing, said: Any, reason: str
) -> None:
    order_id, node = await signed(desk), Node()
    node.says["eth_sendRawTransaction"] = said
    sender = Sender(desk, Nodes(one=node))
    assert await sender.until(order_id, State.SIGNED, reason)
    assert await sender.events(order_id) == ["sending"]  # before it was done, and once
    node.takes()
    await sender.until(order_id, State.BROADCAST)
    assert set(node.sent) == {"0x" + (await desk._store.order(order_id))["raw"].hex()}
    assert len(node.sent) > 1


async def test_an_answer_that_is_nested_without_end_is_none(desk: Signing, request: pytest.FixtureRequest) -> None:
    order_id, node = await signed(desk), Node()
    node.says["eth_sendRawTransaction"] = httpx.Response(200, text="[" * 100_000)
    request.addfinalizer(partial(sys.setrecursionlimit, sys.getrecursionlimit()))
    sys.setrecursionlimit(1000)  # as a coordinator has it: what these tests sign with raises it
    await Sender(desk, Nodes(one=node)).until(order_id, State.SIGNED, Reason.CHAIN_UNAVAILABLE)


async def test_a_node_that_is_away_is_waited_for(desk: Signing) -> None:
    order_id, nodes = await signed(desk), Nodes(one=None)
    sender = Sender(desk, nodes)
    assert await sender.until(order_id, State.SIGNED, Reason.CHAIN_UNAVAILABLE) == "no chain node answers"
    nodes.nodes["one"] = Node()
    await sender.until(order_id, State.BROADCAST)


@pytest.mark.parametrize("words", ["already known", "Known transaction", "AlreadyKnown"])
async def test_what_a_node_has_already_is_broadcast(desk: Signing, words: str) -> None:
    order_id, node = await signed(desk), Node()
    node.refuses(words)
    await Sender(desk, Nodes(one=node)).until(order_id, State.BROADCAST)


@pytest.mark.parametrize("words", ["nonce too low", "insufficient funds", "invalid sender", "no"])
async def test_what_a_node_refuses_because_it_is_mined_is_confirmed(desk: Signing, words: str) -> None:
    order_id, node = await signed(desk), Node()
    name = await name_of(desk, order_id)
    node.refuses(words)
    node.says["eth_getTransactionByHash"] = {"hash": name}
    node.mines(name, 14)
    sender = Sender(desk, Nodes(one=node))
    await sender.until(order_id, State.CONFIRMED)
    assert await sender.events(order_id) == ["sending", "broadcast", "mined", "confirmed"]


@pytest.mark.parametrize(("words", "reason"), STAYING)
async def test_bytes_that_no_block_can_hold_end_for_people_to_look_at(desk: Signing, words: str, reason: str) -> None:
    order_id, node = await signed(desk), Node()
    node.refuses(words)
    sender = Sender(desk, Nodes(one=node))
    assert await sender.until(order_id, State.QUARANTINED, reason) == f"the node answered: {words}"
    assert await sender.events(order_id) == ["sending", "quarantined"]
    assert await desk._store.nonce_of(order_id) == 7  # whoever has the bytes may try: nobody else gets it


@pytest.mark.parametrize(
    ("method", "said", "words"),
    [
        ("eth_chainId", "0x1", "does not serve this chain"),
        ("eth_syncing", {"currentBlock": "0x1"}, "not at the newest block"),
        ("eth_syncing", {"code": -32000, "message": "no"}, "not at the newest block"),
    ],
)
async def test_a_node_in_no_position_to_judge_ends_no_order(desk: Signing, method: str, said: Any, words: str) -> None:
    order_id, node = await signed(desk), Node()
    node.refuses("invalid sender")
    node.says[method] = said
    detail = await Sender(desk, Nodes(one=node)).until(order_id, State.SIGNED, Reason.CHAIN_UNAVAILABLE)
    assert words in detail
    assert "invalid sender" in detail


@pytest.mark.parametrize("other", [None, "nobody has ever said this", "insufficient funds"])
async def test_one_node_alone_ends_no_order(desk: Signing, other: str | None) -> None:
    order_id, liar = await signed(desk), Node()
    liar.refuses("invalid sender")
    honest = None if other is None else Node()
    if honest is not None and other is not None:
        honest.refuses(other)
    nodes = Nodes(one=liar, two=honest)
    detail = await Sender(desk, nodes).until(order_id, State.SIGNED, Reason.SIGNATURE_INVALID)
    assert detail == "1 of 2 nodes: the node answered: invalid sender"
    nodes.nodes["two"] = Node()
    await Sender(desk, nodes).until(order_id, State.BROADCAST)


async def test_every_node_is_shown_the_bytes_and_one_that_takes_them_is_enough(desk: Signing) -> None:
    order_id, one, two = await signed(desk), Node(), Node()
    one.refuses("txpool is full")
    await Sender(desk, Nodes(one=one, away=None, two=two)).until(order_id, State.BROADCAST)
    assert set(one.sent) == set(two.sent) == {"0x" + (await desk._store.order(order_id))["raw"].hex()}


@pytest.mark.parametrize("state", [State.SIGNED, State.BROADCAST])
async def test_a_nonce_that_others_have_used_is_the_end_once_that_is_deep_enough(desk: Signing, state: State) -> None:
    order_id, node = await signed(desk), Node()
    if state is State.BROADCAST:
        await desk._store.move(order_id, State.SIGNED, State.BROADCAST)
    node.refuses("nonce too low")
    sender = Sender(desk, Nodes(one=node))
    shown = await sender.until(order_id, state, Reason.NONCE_CONFLICT)
    assert shown.startswith("nonce 7 of 0x")
    assert shown.endswith("is used on the chain, and no node shows by what yet")
    node.says["eth_getTransactionCount"] = "0x8"
    shown = await sender.until(order_id, State.QUARANTINED, Reason.NONCE_CONFLICT)
    assert shown.endswith("is used on the chain, and not by these bytes: look by what, it may be paid")


async def test_a_nonce_that_one_of_two_nodes_does_not_show_used_is_waited_for(desk: Signing) -> None:
    order_id, ahead, behind = await signed(desk), Node(), Node()
    for node in (ahead, behind):
        node.refuses("nonce too low")
    ahead.says["eth_getTransactionCount"] = "0x8"
    sender = Sender(desk, Nodes(one=ahead, two=behind))
    await sender.until(order_id, State.SIGNED, Reason.NONCE_CONFLICT)
    behind.mines(await name_of(desk, order_id), 14)
    behind.says["eth_getTransactionByHash"] = {"hash": await name_of(desk, order_id)}
    await sender.until(order_id, State.CONFIRMED)


async def test_a_nonce_that_only_one_of_two_nodes_can_be_asked_about_is_waited_for(desk: Signing) -> None:
    order_id, liar = await signed(desk), Node()
    liar.refuses("nonce too low")
    liar.says["eth_getTransactionCount"] = "0x8"
    nodes = Nodes(one=liar, two=None)
    shown = await Sender(desk, nodes).until(order_id, State.SIGNED, Reason.NONCE_CONFLICT)
    assert shown.endswith("is used on the chain, and not all nodes show by what yet")
    nodes.nodes["two"] = Node()
    await Sender(desk, nodes).until(order_id, State.BROADCAST)


async def test_what_a_pool_has_taken_is_not_ended_by_what_another_node_says_later(desk: Signing) -> None:
    order_id, node = await signed(desk), Node()
    sender = Sender(desk, Nodes(one=node))
    await sender.until(order_id, State.BROADCAST)
    node.refuses("exceeds block gas limit")
    await sender.until(order_id, State.BROADCAST, Reason.GAS_UNSUITABLE)
    node.takes()
    await sender.until(order_id, State.BROADCAST)


@pytest.mark.parametrize(
    ("method", "said", "reason", "words"),
    [
        ("eth_getTransactionCount", "0x5", Reason.NONCE_CONFLICT, "its nonce is 7, and the next of its account is 5"),
        ("eth_getBlockByNumber", {"baseFeePerGas": hex(10**10)}, Reason.FEE_EXCEEDED, "asks for more"),
        ("eth_syncing", False, Reason.NOT_MINED, "no node refuses it"),
        ("eth_getBlockByNumber", None, Reason.CHAIN_UNAVAILABLE, "no proper block"),
        ("eth_getTransactionCount", {"code": -32000, "message": "not for you"}, Reason.CHAIN_UNAVAILABLE, "not for"),
    ],
)
async def test_an_order_that_comes_into_no_block_says_why_and_goes_on(
    desk: Signing, monkeypatch: pytest.MonkeyPatch, method: str, said: Any, reason: str, words: str
) -> None:
    monkeypatch.setattr(sending, "LATE", 0.0)
    order_id, node = await signed(desk), Node()
    node.says[method] = said
    sender = Sender(desk, Nodes(one=node))
    assert words in await sender.until(order_id, State.BROADCAST, reason)
    node.mines(await name_of(desk, order_id), 14)
    assert await sender.until(order_id, State.CONFIRMED) == ""


async def test_a_block_that_goes_away_takes_the_order_back_and_the_log_names_both(desk: Signing) -> None:
    order_id, node = await signed(desk), Node()
    name = await name_of(desk, order_id)
    sender = Sender(desk, Nodes(one=node))
    node.mines(name, 15, mark="aa")
    await sender.until(order_id, State.MINED)
    node.says["eth_getTransactionReceipt"] = None
    before = len(node.sent)
    await sender.until(order_id, State.BROADCAST, when=lambda: len(node.sent) > before)
    node.mines(name, 14, mark="bb")
    await sender.until(order_id, State.CONFIRMED)
    old, new = f"in block 15 0x{'aa' * 32}", f"in block 14 0x{'bb' * 32}"
    assert await sender.notes(order_id) == [
        ("BROADCAST", ""), ("MINED", old), ("BROADCAST", f"no more {old}"), ("MINED", new), ("CONFIRMED", new)
    ]  # fmt: skip


async def test_a_block_that_becomes_another_at_one_look_is_noticed_too(desk: Signing) -> None:
    order_id, node = await signed(desk), Node()
    name = await name_of(desk, order_id)
    sender = Sender(desk, Nodes(one=node))
    node.mines(name, 15, mark="aa")
    await sender.until(order_id, State.MINED)
    node.mines(name, 15, mark="bb")
    node.says["eth_blockNumber"] = "0x20"
    await sender.until(order_id, State.CONFIRMED)
    assert [state for state, _ in await sender.notes(order_id)] == [
        "BROADCAST",
        "MINED",
        "BROADCAST",
        "MINED",
        "CONFIRMED",
    ]


async def test_what_the_chain_reverted_ends_so_once_that_is_deep_enough(desk: Signing) -> None:
    order_id, node = await signed(desk), Node()
    sender = Sender(desk, Nodes(one=node))
    node.mines(await name_of(desk, order_id), 15, status="0x0")
    await sender.until(order_id, State.MINED)
    assert (await desk._store.order(order_id))["confirmations"] <= 2
    node.says["eth_blockNumber"] = "0x11"
    await sender.until(order_id, State.FAILED_ON_CHAIN, Reason.FAILED_ON_CHAIN)


@pytest.mark.parametrize("status", [None, "0x2", "1", 1, ["0x1"]])
async def test_a_receipt_that_does_not_say_how_it_ended_ends_no_order(desk: Signing, status: Any) -> None:
    """Said to have failed, somebody would pay it again."""
    order_id, node = await signed(desk), Node()
    node.mines(await name_of(desk, order_id), 5, status=status)
    sender = Sender(desk, Nodes(one=node))
    await sender.until(order_id, State.BROADCAST, Reason.CHAIN_UNAVAILABLE, "no proper receipt")
    node.mines(await name_of(desk, order_id), 5)
    await sender.until(order_id, State.CONFIRMED)


@pytest.mark.parametrize("other", [{"status": "0x0"}, {"mark": "bb"}])
async def test_nodes_that_do_not_agree_where_it_stands_end_no_order(desk: Signing, other: dict[str, str]) -> None:
    order_id, one, two = await signed(desk), Node(), Node()
    name = await name_of(desk, order_id)
    one.mines(name, 5)
    two.mines(name, 5, **other)
    nodes = Nodes(one=one, two=two)
    await Sender(desk, nodes).until(order_id, State.BROADCAST, Reason.CHAIN_UNAVAILABLE, "nodes do not agree")
    two.says["eth_getTransactionReceipt"] = None  # one that does not know it yet does not contradict
    await Sender(desk, nodes).until(order_id, State.CONFIRMED)


@pytest.mark.parametrize("away", [True, False])
async def test_one_node_alone_does_not_say_that_the_chain_reverted_an_order(desk: Signing, away: bool) -> None:
    """Said to have failed, somebody would pay it again, and the bytes may be in the other one's pool."""
    order_id, liar, honest = await signed(desk), Node(), Node()
    name = await name_of(desk, order_id)
    liar.mines(name, 5, status="0x0")
    nodes = Nodes(one=liar, two=None if away else honest)
    words = "1 of 2 nodes show that the chain reverted it, in block 5"
    await Sender(desk, nodes).until(order_id, State.BROADCAST, Reason.CHAIN_UNAVAILABLE, words)
    nodes.nodes["two"] = honest
    honest.mines(name, 5, status="0x0")
    await Sender(desk, nodes).until(order_id, State.FAILED_ON_CHAIN, Reason.FAILED_ON_CHAIN)


async def test_a_block_that_comes_and_goes_is_looked_for_less_often_each_time(
    desk: Signing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As behind one address that stands for several nodes: each turn is two entries of the log."""
    order_id, node, waits, looks = await signed(desk), Node(), list[float](), count(1)
    node.mines(await name_of(desk, order_id), 5)
    answer = node.answer

    def in_turns(method: str, params: list[Any]) -> Any:
        gone = method == "eth_getTransactionReceipt" and (look := next(looks)) < 9 and look % 2 == 0
        return None if gone else answer(method, params)

    async def wait(subject_id: str, seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr(sending, "RETRY", 1.0)
    monkeypatch.setattr(sending, "LONGEST_PAUSE", 5.0)
    monkeypatch.setattr(node, "answer", in_turns)
    monkeypatch.setattr(desk._news, "wait", wait)
    await Sender(desk, Nodes(one=node)).until(order_id, State.CONFIRMED)
    assert waits == [1, 2, 4, 5]


async def test_a_block_that_one_node_still_shows_is_not_gone(desk: Signing) -> None:
    order_id, one, two = await signed(desk), Node(), Node()
    nodes = Nodes(one=one, two=two)
    one.mines(await name_of(desk, order_id), 15)
    two.mines(await name_of(desk, order_id), 15)
    sender = Sender(desk, nodes)
    await sender.until(order_id, State.MINED)
    one.says["eth_getTransactionReceipt"] = None
    for node in (one, two):
        node.says["eth_blockNumber"] = "0x11"
    await sender.until(order_id, State.CONFIRMED)
    assert await sender.events(order_id) == ["sending", "broadcast", "mined", "confirmed"]


async def test_a_chain_of_a_length_that_there_is_not_confirms_and_breaks_nothing_else(desk: Signing) -> None:
    order_id, node = await signed(desk), Node()
    node.mines(await name_of(desk, order_id), 15)
    node.says["eth_blockNumber"] = "0x" + "ff" * 9
    sender = Sender(desk, Nodes(one=node))
    await sender.until(order_id, State.BROADCAST, Reason.CHAIN_UNAVAILABLE, "no quantity")
    node.says["eth_blockNumber"] = hex(2**53 - 1)
    await sender.until(order_id, State.CONFIRMED)
    assert (await desk._store.order(order_id))["confirmations"] == 10**9


async def test_a_block_is_no_deeper_than_every_node_that_shows_it_says(desk: Signing) -> None:
    order_id, wrong, right = await signed(desk), Node(), Node()
    for node in (wrong, right):
        node.mines(await name_of(desk, order_id), 15)
    wrong.says["eth_blockNumber"] = "0x1000"
    sender = Sender(desk, Nodes(one=wrong, two=right))
    await sender.until(order_id, State.MINED)
    right.says["eth_blockNumber"] = "0x11"
    await sender.until(order_id, State.CONFIRMED)
    assert (await desk._store.order(order_id))["confirmations"] == DEPTH


async def test_the_receipt_of_another_transaction_is_none(desk: Signing) -> None:
    order_id, node = await signed(desk), Node()
    node.mines("0x" + "11" * 32, 5)
    await Sender(desk, Nodes(one=node)).until(order_id, State.BROADCAST, Reason.CHAIN_UNAVAILABLE, "another")


async def test_pauses_get_longer_and_end_at_the_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "RETRY", 1.0)
    monkeypatch.setattr(sending, "LONGEST_PAUSE", 30.0)
    pauses = sending.Pauses()
    assert pauses.over
    assert [pauses.take() for _ in range(7)] == [1, 2, 4, 8, 16, 30, 30]
    assert not pauses.over


async def test_behind_signed_bytes_that_came_to_nothing_the_next_order_waits_and_says_so(desk: Signing) -> None:
    """What would be signed behind an unused nonce could not be mined, and the nonce is not free: its bytes are out."""
    order_id, node = await signed(desk), Node()
    node.refuses("intrinsic gas too low")
    chain = desk._chain
    await Sender(desk, Nodes(one=node)).until(order_id, State.QUARANTINED, Reason.GAS_UNSUITABLE)
    desk._chain = chain
    following = await desk.submitted(2, 50)
    await desk.on(following, desk.stands(following, "APPROVED", Reason.NONCE_CONFLICT))
    assert await desk._store.nonce_of(following) is None
    desk.chain.next = 8  # somebody had them mined after all
    await desk.on(following, desk.stands(following, "SIGNED"))
    assert await desk._store.nonce_of(following) == 8
