"""How orders read: warnings first, every operation and argument, and no name that could be taken for another one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from oms_core.chains.abi import method
from oms_core.chains.address import to_checksum
from oms_core.chains.intent import Allow, Bounds, Call, Deploy, Intent, Message, Transfer
from oms_core.chains.render import render
from oms_core.errors import CountersealError, Malformed, Reason
from oms_core.workspace import AddressEntry, Asset, EntryState, Workspace
from tests.unit.chains.world import (
    CHAIN,
    COIN,
    KNOWN,
    MULTICALL,
    NOW,
    ROUTER,
    SAFE,
    STRANGE,
    SWAP,
    TOKEN,
    USDC,
    WETH,
    called,
    order,
    signs,
    typed,
    workspace,
)

MAX = (1 << 256) - 1
SEND = method("transfer(address,uint256)").encode(KNOWN, 7_000_000)


def lines(intent: Intent, known: Workspace | None = None) -> tuple[str, ...]:
    """Without what stands below every order."""
    shown = render(intent, known or workspace()).lines
    assert shown[-4:] == (
        "This is order int_1.",
        "Asked for by Order desk (desk, team trading).",
        "Reason given: rebalance.",
        "Valid from 2027-01-15T07:59:50Z until 2027-01-15T08:16:40Z.",
    )
    return shown[:-4]


A = {name: to_checksum(a) for name, a in {"token": TOKEN, "router": ROUTER, "known": KNOWN, "strange": STRANGE}.items()}
COST = "network fee at most 0.01 ETH, gas 500000."


def test_a_transfer_of_a_token_is_shown_in_its_symbol_and_exactly() -> None:
    assert lines(order(Transfer(USDC, KNOWN, 1_500_000))) == (
        "Send 1.5 USDC from wallet wal_1 on eip155:31337.",
        f"To {A['known']}: address-book entry Known (known).",
        f"Exactly 1500000 base units of {USDC}; {COST}",
    )


def test_an_allowance_says_what_it_leaves_behind() -> None:
    assert lines(order(Allow(USDC, ROUTER, 5_000_000), path=(0, 7))) == (
        "Allow 5 USDC to be taken from wallet wal_1/0/7 on eip155:31337.",
        f"By {A['router']}: contract Router (router) of protocol router.",
        f"Exactly 5000000 base units of {USDC}; {COST}",
        f"Left behind: {A['router']} may take up to 5 USDC (5000000 base units of {USDC}), until it is taken back.",
    )
    assert lines(order(Allow(USDC, ROUTER, 0)))[-1].startswith(f"Left behind: {A['router']} may take no USDC any more")


def test_an_allowance_without_a_bound_is_warned_of_before_all() -> None:
    shown = lines(order(Allow(USDC, STRANGE, MAX)))
    who = f"{A['strange']}: an address that is NOT in the book"
    assert shown[:2] == (
        f"WARNING: {who} could take ALL USDC of the account, at any time.",
        f"WARNING: {A['strange']} is NOT in the book.",
    )
    assert "take ALL USDC, without limit" in shown[-1]


@pytest.mark.parametrize(
    ("signature", "words"),
    [
        ("increaseAllowance(address,uint256)", "up to 7 USDC more than until now"),
        ("decreaseAllowance(address,uint256)", "7 USDC less than until now"),
    ],
)
def test_an_allowance_that_changes_by_some_amount_is_said_to_change(signature: str, words: str) -> None:
    assert f"may take {words}" in lines(called(TOKEN, signature, ROUTER, 7_000_000))[-1]


def test_a_call_shows_its_method_and_each_argument_with_the_names_of_accounts() -> None:
    assert lines(called(ROUTER, SWAP, 100, 99, (TOKEN, WETH), KNOWN, 9, value=10**18))[:1] == (
        "Call a contract from wallet wal_1 on eip155:31337, sending 1 ETH.",
    )
    shown = lines(called(ROUTER, SWAP, 100, 99, (TOKEN, WETH), STRANGE, 9))
    assert shown[1] == f"The contract is {A['router']}: contract Router (router) of protocol router."
    assert shown[3:] == (
        f"1. call {SWAP} of {A['router']}: contract Router (router) of protocol router",
        "   0 (uint256) = 100",
        "   1 (uint256) = 99",
        "   2.length (uint256) = 2",
        f"   2[0] (address) = {A['token']}: token USDC",
        f"   2[1] (address) = {to_checksum(WETH)}: contract Weth (weth) of protocol weth, token WETH",
        f"   3 (address) = {A['strange']}: an address that is NOT in the book",
        "   4 (uint256) = 9",
    )


def test_calls_inside_calls_are_numbered_and_say_how_deep_they_are() -> None:
    inner = method("aggregate3((address,bool,bytes)[])").encode(((TOKEN, False, SEND),))
    shown = lines(called(MULTICALL, "aggregate3((address,bool,bytes)[])", ((MULTICALL, False, inner),)))
    steps = [line for line in shown if line[0].isdigit()]
    assert steps[1].startswith("2. inside 1 other call, call aggregate3")
    assert steps[2] == f"3. inside 2 other calls, send 7 USDC to {A['known']}: address-book entry Known (known)"


def test_what_cannot_be_read_or_runs_foreign_code_is_warned_of_first() -> None:
    run = "execTransaction(address,uint256,bytes,uint8,uint256,uint256,uint256,address,address,bytes)"
    nobody = bytes(20)
    shown = lines(called(SAFE, run, STRANGE, 0, b"\x01\x02\x03\x04", 1, 0, 0, 0, nobody, nobody, b""))
    who = f"{A['strange']}: an address that is NOT in the book"
    assert shown[:3] == (
        f"WARNING: code of {who} would run as if it were the account's own.",
        f"WARNING: nobody can tell what {who} does with this (0x01020304).",
        f"WARNING: {A['strange']} is NOT in the book.",
    )
    assert any("call something that nobody can read of" in line and "AS ITS OWN CODE" in line for line in shown)


def test_a_selector_that_is_known_from_elsewhere_is_shown_as_a_guess() -> None:
    shown = lines(called(STRANGE, "multicall(bytes[])", ()))
    assert any("(a GUESS from 0xac9650d8: multicall(bytes[]))" in line for line in shown)


def test_a_deployment_is_warned_of_and_named_by_its_hash() -> None:
    shown = lines(order(Deploy(10**18, b"code")))
    assert shown[0] == "WARNING: this creates a contract, and nobody can read here what its code does."
    assert shown[1] == "Create a contract from wallet wal_1 on eip155:31337, giving it 1 ETH."
    assert "4 bytes with the keccak256 0x" in shown[2]


def test_no_line_of_a_text_can_pass_for_one_of_ours() -> None:
    shown = lines(order(Message("hello\nThis is order int_2."), bounds=Bounds(0, 0)))
    assert shown == (
        "Sign this text (EIP-191) with wallet wal_1 on eip155:31337:",
        "| hello",
        "| This is order int_2.",
    )


def test_a_message_with_a_fee_is_not_shown() -> None:
    with pytest.raises(Malformed):
        lines(order(Message("hello")))


def test_typed_data_is_shown_field_by_field() -> None:
    text = typed("Vote", {"Vote": "Who who,string why,bool yes", "Who": "address voter"},
                 {"who": {"voter": A["known"]}, "why": "a\nb", "yes": True}, ROUTER)  # fmt: skip
    router = f"{A['router']}: contract Router (router) of protocol router"
    assert lines(signs(text)) == (
        f"WARNING: nobody can tell what {router} does with this.",
        "Sign structured data (EIP-712) of the type Vote with wallet wal_1 on eip155:31337.",
        f"It is for {router}.",
        "Its form is Vote(Who who,string why,bool yes)Who(address voter).",
        "   domain name (string):",
        "   | Test",
        "   domain chainId (uint256) = 31337",
        f"   domain verifyingContract (address) = {router}",
        f"1. sign Vote for {router}",
        f"   who.voter (address) = {A['known']}: address-book entry Known (known)",
        "   why (string):",
        "   | a",
        "   | b",
        "   yes (bool) = 1",
    )


def test_long_bytes_are_shown_by_their_ends_their_length_and_their_hash() -> None:
    shown = lines(called(MULTICALL, "aggregate3((address,bool,bytes)[])", ((ROUTER, False, b"abcd" + bytes(300)),)))
    assert any("..." in line and "304 bytes with the keccak256 0x" in line for line in shown)


@pytest.mark.parametrize("at", range(0, 68, 7))
def test_a_changed_byte_of_a_call_reads_differently(at: int) -> None:
    data = b"\x01\x02\x03\x04" + bytes(64)
    bent = data[:at] + b"\xff" + data[at + 1 :]
    assert lines(order(Call(ROUTER, 0, data))) != lines(order(Call(ROUTER, 0, bent)))


def test_an_entry_that_is_out_of_use_is_warned_of() -> None:
    known = workspace()
    suspended = tuple(replace(one, state=EntryState.SUSPENDED) for one in known.address_book)
    shown = lines(order(Transfer(COIN, KNOWN, 1)), replace(known, address_book=suspended))
    assert shown[0] == "WARNING: Known (known) is SUSPENDED."


def why(intent: Intent, known: Workspace) -> Reason:
    with pytest.raises(CountersealError) as caught:
        lines(intent, known)
    return caught.value.reason


def with_entry(label: str, address: bytes = STRANGE) -> Workspace:
    known = workspace()
    entry = AddressEntry("other", label, CHAIN, address, (), EntryState.ACTIVE, NOW)
    return replace(known, address_book=(*known.address_book, entry))


@pytest.mark.parametrize("label", ["Known", "KNOWN", "Kn0wn"])
def test_a_label_that_looks_like_another_ones_is_not_shown(label: str) -> None:
    for to in (KNOWN, STRANGE):
        assert why(order(Transfer(COIN, to, 1)), with_entry(label)) is Reason.MALFORMED


@pytest.mark.parametrize("label", ["R0uter", "Rоuter"])  # the second with a Cyrillic letter
def test_a_label_of_the_book_that_looks_like_a_registered_contracts_is_not_shown(label: str) -> None:
    assert why(order(Transfer(COIN, STRANGE, 1)), with_entry(label)) is Reason.MALFORMED


@pytest.mark.parametrize("label", ["Knоwn", "Known\u202e", "Known\u200b", " ", "Known\n"])
def test_a_label_that_is_not_plain_text_is_not_shown(label: str) -> None:
    assert why(order(Transfer(COIN, STRANGE, 1)), with_entry(label)) is Reason.MALFORMED


def test_one_account_may_stand_in_book_and_registry_under_one_name() -> None:
    shown = lines(order(Transfer(COIN, ROUTER, 1)), with_entry("Router", ROUTER))
    assert shown[1] == (
        f"To {A['router']}: address-book entry Router (other), contract Router (router) of protocol router."
    )


@pytest.mark.parametrize("symbol", ["USDC", "usdc", "UsDC", "USDС"])
def test_a_symbol_that_looks_like_another_tokens_is_not_shown(symbol: str) -> None:
    known = workspace()
    fake = Asset(f"{CHAIN}/erc20:{A['strange']}", symbol, 6, (), 0, b"")
    both = replace(known, assets=(*known.assets, fake))
    assert why(order(Transfer(fake.asset, KNOWN, 1)), both) is Reason.MALFORMED
    if symbol.isascii():
        assert why(order(Transfer(USDC, KNOWN, 1)), both) is Reason.MALFORMED


@pytest.mark.parametrize("text", ["\u202e", "\u2066", "\u200b", "\u2028", "\x1b[2K", "\r"])
def test_typed_data_that_could_hide_or_reorder_text_are_not_shown(text: str) -> None:
    data = typed("Vote", {"Vote": "string why"}, {"why": f"yes{text}no"}, ROUTER)
    with pytest.raises(Malformed):
        lines(signs(data))


def test_a_coin_without_its_own_decimals_is_never_guessed() -> None:
    known = replace(workspace(), assets=(Asset(COIN, "ETH", 6, (), 0, b""),))
    assert "giving it 5 wei" in lines(order(Deploy(5, b"code")), known)[1]
