"""The shape of intents and wishes: the edges of every bound, and each refusal with its reason."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from oms_core.chains.abi import MAX_CALLDATA
from oms_core.chains.intent import (
    CLOCK_SKEW,
    MAX_CODE,
    MAX_LIFE,
    PURPOSE_LIMIT,
    Allow,
    Bounds,
    Call,
    Deploy,
    Message,
    Subject,
    Transfer,
    TypedData,
    check_subject,
    subject_digest,
)
from oms_core.encoding import decode, encode
from oms_core.errors import Malformed, Reason
from oms_core.keys import Change
from oms_core.workspace import ChangeWorkspace
from tests.people import COIN, KNOWN, NOW, change, intent, wish, workspace
from tests.unit.chains.world import typed

TOKEN = "eip155:31337/erc20:0x" + "a0" * 20
TYPED = typed("Vote", {"Vote": "uint8 choice"}, {"choice": 1})


def why(subject: Subject, now: int = NOW) -> Reason:
    with pytest.raises(Malformed) as caught:
        check_subject(subject, now)
    return caught.value.reason


@pytest.mark.parametrize(
    "subject",
    [
        intent(1),
        intent((1 << 256) - 1),
        intent(purpose=""),
        intent(purpose="x" * PURPOSE_LIMIT),
        intent(purpose="Überweisung für Zürich – 50 %"),
        intent(intent_id="int_" + "a" * 40, wallet_id="wal_" + "Z" * 40),
        intent(bounds=Bounds(0, 1)),
        intent(valid_from=NOW + CLOCK_SKEW),
        intent(valid_until=NOW + 1),
        intent(valid_from=NOW, valid_until=NOW + MAX_LIFE),
        intent(chain="eip155:1", action=Transfer("eip155:1/erc20:0x" + "a0" * 20, KNOWN, 1)),
        wish(),
        wish(threshold=2, parties=(1, 3)),
        wish(threshold=2, parties=(1, 3, 65535), level="L128"),
        wish(threshold=5),
        intent(action=Allow(TOKEN, KNOWN, 0)),
        intent(action=Allow(TOKEN, KNOWN, (1 << 256) - 1)),
        intent(action=Call(KNOWN, 0, b"abcd")),
        intent(action=Call(KNOWN, (1 << 256) - 1, bytes(MAX_CALLDATA))),
        intent(action=Deploy(0, b"x")),
        intent(action=Deploy(1, bytes(MAX_CODE))),
        intent(action=Message("I own this account"), bounds=Bounds(0, 0)),
        intent(action=TypedData(TYPED), bounds=Bounds(0, 0)),
        ChangeWorkspace("chg_1", workspace(), "adam", "", NOW - 10, NOW + 1000),
    ],
)
def test_what_is_within_its_bounds_passes(subject: Subject) -> None:
    check_subject(subject, NOW)
    assert decode(type(subject), encode(subject)) == subject


def action(to: bytes = KNOWN, amount: int = 1, asset: str = COIN) -> dict[str, object]:
    return {"action": Transfer(asset, to, amount)}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"intent_id": "int_"}, Reason.MALFORMED),
        ({"intent_id": "txn_1"}, Reason.MALFORMED),
        ({"intent_id": "int_" + "a" * 41}, Reason.MALFORMED),
        ({"intent_id": "int_1\n"}, Reason.MALFORMED),
        ({"wallet_id": "int_1"}, Reason.MALFORMED),
        ({"wallet_id": "wal_ä"}, Reason.MALFORMED),
        ({"wallet_id": "*"}, Reason.MALFORMED),
        ({"initiator": ""}, Reason.MALFORMED),
        ({"initiator": "a" * 65}, Reason.MALFORMED),
        ({"initiator": "desk\n"}, Reason.MALFORMED),
        ({"purpose": "x" * (PURPOSE_LIMIT + 1)}, Reason.MALFORMED),
        ({"purpose": "two\nlines"}, Reason.MALFORMED),
        ({"purpose": "\x1b[2Jcleared"}, Reason.MALFORMED),
        ({"purpose": "right-to-left \u202e override"}, Reason.MALFORMED),
        ({"purpose": "isolated \u2066 text"}, Reason.MALFORMED),
        ({"purpose": "zero\u200bwidth"}, Reason.MALFORMED),
        ({"purpose": "line\u2028separator"}, Reason.MALFORMED),
        ({"purpose": "\ue000 private"}, Reason.MALFORMED),
        ({"valid_from": -1}, Reason.MALFORMED),
        ({"valid_until": NOW - 10}, Reason.MALFORMED),
        ({"valid_until": NOW - 10 + MAX_LIFE + 1}, Reason.MALFORMED),
        ({"valid_from": NOW + CLOCK_SKEW + 1}, Reason.EXPIRED),
        ({"valid_until": NOW}, Reason.EXPIRED),
        ({"path": (1 << 31,)}, Reason.MALFORMED),
        ({"path": (-1,)}, Reason.MALFORMED),
        ({"path": (0,) * 9}, Reason.MALFORMED),
        ({"chain": "eip155:0"}, Reason.UNSUPPORTED_TYPE),
        ({"chain": "solana:1"}, Reason.UNSUPPORTED_TYPE),
        ({"chain": "eip155:" + "9" * 20}, Reason.UNSUPPORTED_TYPE),
        (action(asset="ETH"), Reason.UNSUPPORTED_TYPE),
        (action(asset=COIN + "\u202e"), Reason.UNSUPPORTED_TYPE),
        (action(asset=COIN + "a" * 80), Reason.UNSUPPORTED_TYPE),
        (action(to=b""), Reason.BAD_ADDRESS),
        (action(to=bytes(21)), Reason.BAD_ADDRESS),
        (action(to=bytes(20)), Reason.BAD_ADDRESS),
        (action(amount=0), Reason.MALFORMED),
        (action(amount=-1), Reason.NEGATIVE_AMOUNT),
        (action(amount=1 << 256), Reason.MALFORMED),
        (action(asset="eip155:1/slip44:60"), Reason.CHAIN_MISMATCH),
        (action(asset="eip155:1/erc20:0x" + "a0" * 20), Reason.CHAIN_MISMATCH),
        (action(asset="eip155:31337/slip44:0"), Reason.UNSUPPORTED_TYPE),
        (action(asset="eip155:31337/erc721:0x" + "a0" * 20), Reason.UNSUPPORTED_TYPE),
        (action(asset="eip155:31337/erc20:0x" + "a0" * 19), Reason.BAD_ADDRESS),
        (action(asset="eip155:31337/erc20:0x" + "A0" * 20), Reason.BAD_CHECKSUM),
        ({"action": Allow(COIN, KNOWN, 1)}, Reason.UNSUPPORTED_TYPE),
        ({"action": Allow(TOKEN, bytes(20), 1)}, Reason.BAD_ADDRESS),
        ({"action": Allow(TOKEN, KNOWN, -1)}, Reason.NEGATIVE_AMOUNT),
        ({"action": Allow(TOKEN, KNOWN, 1 << 256)}, Reason.MALFORMED),
        ({"action": Call(KNOWN, 0, b"abc")}, Reason.MALFORMED),
        ({"action": Call(KNOWN, 0, b"")}, Reason.MALFORMED),
        ({"action": Call(bytes(20), 0, b"abcd")}, Reason.BAD_ADDRESS),
        ({"action": Call(KNOWN, -1, b"abcd")}, Reason.NEGATIVE_AMOUNT),
        ({"action": Call(KNOWN, 1 << 256, b"abcd")}, Reason.MALFORMED),
        ({"action": Call(KNOWN, 0, bytes(MAX_CALLDATA + 1))}, Reason.TOO_LARGE),
        ({"action": Deploy(0, b"")}, Reason.MALFORMED),
        ({"action": Deploy(-1, b"x")}, Reason.NEGATIVE_AMOUNT),
        ({"action": Deploy(0, bytes(MAX_CODE + 1))}, Reason.TOO_LARGE),
        ({"action": Message("I own this")}, Reason.MALFORMED),  # with a fee
        ({"action": Message("ab" * 32), "bounds": Bounds(0, 0)}, Reason.UNSUPPORTED_TYPE),
        ({"action": Message("x" * 32), "bounds": Bounds(0, 0)}, Reason.UNSUPPORTED_TYPE),
        ({"action": TypedData(TYPED)}, Reason.MALFORMED),
        ({"action": TypedData("{}"), "bounds": Bounds(0, 0)}, Reason.MALFORMED),
        ({"action": TypedData(TYPED), "bounds": Bounds(0, 0), "chain": "eip155:1"}, Reason.CHAIN_MISMATCH),
        ({"bounds": Bounds(-1, 21_000)}, Reason.MALFORMED),
        ({"bounds": Bounds(1 << 128, 21_000)}, Reason.MALFORMED),
        ({"bounds": Bounds(1, 0)}, Reason.MALFORMED),
        ({"bounds": Bounds(1, 1 << 32)}, Reason.MALFORMED),
    ],
)
def test_an_intent_out_of_its_bounds_is_refused_with_its_reason(changes: dict[str, object], reason: Reason) -> None:
    assert why(intent(**changes)) is reason


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"wallet_id": "one"}, Reason.MALFORMED),
        ({"label": ""}, Reason.MALFORMED),
        ({"label": "a\u202eb"}, Reason.MALFORMED),
        ({"threshold": 1, "parties": (1,)}, Reason.MALFORMED),
        ({"threshold": 1, "parties": (1, 2)}, Reason.MALFORMED),
        ({"threshold": 2, "parties": (1, 2, 3, 4)}, Reason.MALFORMED),
        ({"threshold": 6}, Reason.MALFORMED),
        ({"threshold": 0, "parties": ()}, Reason.MALFORMED),
        ({"parties": (1, 2, 3, 4, 4)}, Reason.MALFORMED),
        ({"parties": (5, 4, 3, 2, 1)}, Reason.MALFORMED),
        ({"parties": (0, 1, 2, 3, 4)}, Reason.MALFORMED),
        ({"parties": (1, 2, 3, 4, 65536)}, Reason.MALFORMED),
        ({"level": "TOY"}, Reason.CONFIG_INVALID),
        ({"level": ""}, Reason.CONFIG_INVALID),
        ({"valid_until": NOW}, Reason.EXPIRED),
    ],
)
def test_a_wish_out_of_its_bounds_is_refused_with_its_reason(changes: dict[str, object], reason: Reason) -> None:
    assert why(wish(**changes)) is reason


@pytest.mark.parametrize("change_id", ["", "chg_", "wal_1", "chg_1\n", "chg_" + "a" * 41])
def test_a_change_of_the_workspace_has_an_id_of_its_own(change_id: str) -> None:
    assert why(ChangeWorkspace(change_id, workspace(), "adam", "", NOW - 10, NOW + 1000)) is Reason.MALFORMED


VARIANTS: dict[str, object] = {
    "intent_id": "int_2", "wallet_id": "wal_2", "path": (1,), "chain": "eip155:1", "bounds": Bounds(1, 1),
    "action": Transfer(COIN, KNOWN, 51), "initiator": "tara", "purpose": "", "valid_from": NOW - 11,
    "valid_until": NOW + 1001, "label": "Two", "threshold": 4, "parties": (1, 2, 3, 4), "level": "L128",
    "drill": True, "change": Change.RESHARE, "epoch": 1, "key_id": b"l" * 32, "public_key": b"\x03" + b"y" * 32,
    "chain_code": b"d" * 32,
}  # fmt: skip
PLAIN: tuple[Subject, ...] = (intent(), wish(purpose="new"), change(Change.REFRESH, purpose="new"))


@pytest.mark.parametrize(("plain", "field"), [(one, f.name) for one in PLAIN for f in fields(one)])
def test_every_field_of_a_subject_is_in_its_digest(plain: Subject, field: str) -> None:
    changed = replace(plain, **{field: VARIANTS[field]})  # type: ignore[arg-type]
    assert subject_digest(changed) != subject_digest(plain)
