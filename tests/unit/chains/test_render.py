"""What a person reads: names from the workspace, whole numbers, and nothing that could hide or reorder a sentence."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from oms_core.approvals import Verdict
from oms_core.authorize import expected_claim
from oms_core.chains.evm import to_checksum
from oms_core.chains.intent import Bounds, Call, Intent, Subject, Transfer
from oms_core.chains.render import render, rendering_digest
from oms_core.errors import Malformed, NotFound, Reason
from oms_core.keys import Change
from oms_core.workspace import ChangeWorkspace, workspace_digest
from oms_core.workspace.sentences import sentences
from tests.people import CHAIN, COIN, KNOWN, NOW, STRANGE, change, intent, wish, workspace

ETHER = 10**18


def lines(subject: Subject) -> tuple[str, ...]:
    return render(subject, workspace()).lines


def test_a_transfer_reads_as_plain_sentences() -> None:
    assert lines(intent(3 * ETHER // 2, bounds=Bounds(10**16, 90_000))) == (
        "Send 1.5 ETH from wallet wal_1 on eip155:31337.",
        f"To {to_checksum(KNOWN)}: address-book entry Known (known).",
        f"Exactly 1500000000000000000 base units of {COIN}; network fee at most 0.01 ETH, gas 90000.",
        "This is order int_1.",
        "Asked for by Order desk (desk, team trading).",
        "Reason given: rebalance.",
        "Valid from 2027-01-15T07:59:50Z until 2027-01-15T08:16:40Z.",
    )


def test_a_wish_for_a_wallet_reads_as_plain_sentences_and_names_the_cosigners() -> None:
    assert lines(wish(parties=(1, 3, 4))) == (
        "Create wallet wal_1 named One, security level L112.",
        "Any 3 of 3 cosigners sign: 1 node-1, 3 node-3, 4 node-4.",
        "It becomes active when a quorum has signed a test.",
        "Asked for by Order desk (desk, team trading).",
        "Reason given: none.",
        "Valid from 2027-01-15T07:59:50Z until 2027-01-15T08:16:40Z.",
    )


def test_a_destination_outside_the_address_book_is_said_to_be_outside() -> None:
    shown = lines(intent(to=STRANGE))
    assert shown[0] == f"WARNING: {to_checksum(STRANGE)} is NOT in the book."
    assert shown[2] == f"To {to_checksum(STRANGE)}: an address that is NOT in the book."


def test_an_entry_of_the_address_book_counts_for_its_own_chain_only() -> None:
    elsewhere = intent(chain="eip155:1", action=Transfer("eip155:1/slip44:60", KNOWN, 50))
    assert "NOT in the book" in lines(elsewhere)[0]


def test_a_coin_that_is_no_registered_asset_is_shown_in_base_units_only() -> None:
    elsewhere = intent(chain="eip155:1", action=Transfer("eip155:1/slip44:60", KNOWN, 50))
    assert lines(elsewhere)[1:4] == (
        "Send 50 base units of eip155:1/slip44:60, which is NOT a registered asset, from wallet wal_1 on eip155:1.",
        f"To {to_checksum(KNOWN)}: an address that is NOT in the book.",
        "Exactly 50 base units of eip155:1/slip44:60; network fee at most 10000000000000000 wei, gas 100000.",
    )


def test_an_asset_of_another_chain_is_not_shown_at_all() -> None:
    with pytest.raises(Malformed) as caught:
        lines(intent(chain="eip155:1"))
    assert caught.value.reason is Reason.CHAIN_MISMATCH


OTHER: dict[str, object] = {
    "intent_id": "int_2", "wallet_id": "wal_2", "path": (1,), "chain": "eip155:1", "initiator": "tara",
    "action": Transfer(COIN, KNOWN, 51), "bounds": Bounds(10**16 + 1, 100_000), "purpose": "other",
    "valid_from": NOW - 11, "valid_until": NOW + 1001, "label": "Two", "threshold": 4, "parties": (1, 2, 3, 4),
    "level": "L128",
    "drill": True, "change": Change.RESHARE, "epoch": 1, "key_id": b"l" * 32, "public_key": b"\x03" + b"y" * 32,
    "chain_code": b"d" * 32,
}  # fmt: skip
PLAIN: tuple[Subject, ...] = (
    intent(action=Call(KNOWN, 5, b"abcd")),
    wish(purpose="new"),
    change(Change.REFRESH, purpose="new"),
)


@pytest.mark.parametrize(("plain", "field"), [(one, f.name) for one in PLAIN for f in fields(one)])
def test_no_field_of_a_subject_is_kept_from_its_reader(plain: Subject, field: str) -> None:
    changed = replace(plain, **{field: OTHER[field]})  # type: ignore[arg-type]
    assert lines(changed) != lines(plain)
    assert rendering_digest(render(changed, workspace())) != rendering_digest(render(plain, workspace()))


@pytest.mark.parametrize(
    "changed",
    [
        replace(intent(), bounds=Bounds(10**16, 100_001)),
        replace(intent(), action=Transfer(COIN, STRANGE, 50)),
    ],
)
def test_no_part_of_an_action_or_a_bound_is_kept_from_its_reader(changed: Intent) -> None:
    assert lines(changed) != lines(intent())


def test_a_rendering_depends_on_the_names_of_the_workspace() -> None:
    book = tuple(replace(entry, label=f"{entry.label} 2") for entry in workspace().address_book)
    renamed = replace(workspace(), address_book=book)
    assert rendering_digest(render(intent(), renamed)) != rendering_digest(render(intent(), workspace()))


@pytest.mark.parametrize(
    "bad", ["\n", "\r", "\x1b[2K", "\u202e", "\u2066", "\u200f", "\u200b", "\u2028", "\x00", "\x7f"]
)
def test_a_purpose_that_could_hide_or_reorder_text_is_not_shown(bad: str) -> None:
    with pytest.raises(Malformed):
        lines(intent(purpose=f"rent{bad}To 0x00"))


@pytest.mark.parametrize("field", ["intent_id", "wallet_id"])
def test_an_unchecked_subject_cannot_smuggle_control_characters_to_a_reader(field: str) -> None:
    with pytest.raises(Malformed):
        lines(intent(**{field: "wal_1\nTo the address book"}))


@pytest.mark.parametrize("seconds", [-1, 253_402_300_800, 1 << 64])
def test_a_time_that_no_calendar_has_is_refused(seconds: int) -> None:
    with pytest.raises(Malformed):
        lines(intent(valid_until=seconds))


def test_the_last_second_of_the_calendar_is_shown() -> None:
    assert lines(intent(valid_until=253_402_300_799))[-1].endswith("until 9999-12-31T23:59:59Z.")


def test_a_negative_amount_is_refused_rather_than_shown() -> None:
    with pytest.raises(Malformed) as caught:
        lines(intent(-1))
    assert caught.value.reason is Reason.NEGATIVE_AMOUNT


def test_an_initiator_or_a_cosigner_that_nobody_knows_is_not_found() -> None:
    for stranger in (intent(initiator="nobody"), wish(parties=(1, 2, 9))):
        with pytest.raises(NotFound) as caught:
            lines(stranger)
        assert caught.value.reason is Reason.UNKNOWN_USER


def test_a_change_of_the_workspace_reads_part_by_part() -> None:
    now = workspace()
    book = tuple(replace(entry, label=f"{entry.label} 2") for entry in now.address_book)
    after = replace(now, version=now.version + 1, parent=workspace_digest(now), address_book=book)
    wished = ChangeWorkspace("chg_1", after, "adam", "new names", NOW - 10, NOW + 1000)
    shown = lines(wished)
    assert shown[:-4] == sentences(now, after)
    assert any("Known 2" in line for line in shown)
    assert shown[-4:-1] == (
        "This is change chg_1.",
        "Asked for by Adam (adam, team admin).",
        "Reason given: new names.",
    )


def test_a_claim_carries_the_digest_of_what_was_rendered() -> None:
    claim = expected_claim(intent(), workspace(), "ravi", Verdict.APPROVE, NOW, NOW + 1)
    assert claim.rendering == rendering_digest(render(intent(), workspace()))
    assert CHAIN in lines(intent())[0]
