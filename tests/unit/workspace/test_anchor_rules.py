"""The development network's rules about anchors: one call, by one service, from one wallet, and nothing else of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from oms.devnet import cast
from oms.devnet.contracts import NAMES, Deployed, address_of
from oms_core.chains.evm import native_asset
from oms_core.chains.intent import Allow, Bounds, Call, Deploy, Intent, Message, Transfer, TypedData, What
from oms_core.errors import Malformed, Reason
from oms_core.log.anchor import anchor_call
from oms_core.policy.facts import Facts
from oms_core.policy.judge import Decision, Outcome, judge
from oms_core.policy.spends import spends
from oms_core.workspace import LogSettings, Workspace, privileges, user
from tests.parties import identity
from tests.people import CHAIN, NOW, witness
from tests.unit.log.anchors import note

CONTRACT, DATA = address_of("anchor"), anchor_call(note())
GOOD = Call(CONTRACT, 0, DATA)
USDC = f"{CHAIN}/erc20:0x{address_of('usdc').hex()}"
FEE = 10**16


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    contracts = {name: Deployed(address_of(name), bytes(32)) for name in NAMES}
    cards = {index: (identity(index).public, witness(index)) for index in range(1, 6)}
    root = Path(tmp_path_factory.mktemp("devnet"))
    return cast.workspace(root, cards, CHAIN, contracts, 5, LogSettings("example.org/log", witness(0), 60, 86_400))


def order(action: What, wallet: str = "wal_anchor", initiator: str = "anchor", fee: int = FEE) -> Intent:
    bounds = Bounds(0, 0) if isinstance(action, Message | TypedData) else Bounds(fee, 60_000)
    return Intent("int_1", wallet, (), CHAIN, action, bounds, initiator, "", NOW, NOW + 600)


def decided(made: Workspace, intent: Intent, facts: Facts | None = None) -> Decision:
    return judge(made, intent, facts or Facts(NOW, ()))


def passes(made: Workspace, intent: Intent) -> bool:
    """Whether the rules let it through; call data that nobody can read does not get as far."""
    try:
        return decided(made, intent).outcome is not Outcome.DENY
    except Malformed:
        return False


def test_an_anchor_is_permitted_without_approvals(made: Workspace) -> None:
    decision = decided(made, order(GOOD))
    assert (decision.outcome, decision.needs) == (Outcome.PERMIT, ())


def test_the_service_can_propose_from_the_anchor_wallet_alone_and_approves_nothing(made: Workspace) -> None:
    service = user(made, "anchor")
    assert privileges(made, service, "wal_anchor") == {"READ", "PROPOSE_ORDERS"}
    assert privileges(made, service, "wal_treasury") == set()
    assert service.credentials == ()


@pytest.mark.parametrize(
    "action",
    [
        Call(address_of("weth"), 0, bytes.fromhex("d0e30db0")),
        Call(cast.KRAKEN, 0, DATA),
        Call(CONTRACT, 1, DATA),
        Call(CONTRACT, 0, DATA[:-1]),
        Call(CONTRACT, 0, DATA + bytes(32)),
        Call(CONTRACT, 0, bytes(4) + DATA[4:]),
        Transfer(native_asset(CHAIN), cast.KRAKEN, 1),
        Transfer(USDC, cast.KRAKEN, 1),
        Allow(USDC, CONTRACT, 1),
        Deploy(0, b"\x00"),
        Message("anchored"),
    ],
    ids=lambda action: type(action).__name__,
)
def test_the_anchor_wallet_does_nothing_else_whoever_asks(made: Workspace, action: What) -> None:
    for initiator in ("anchor", "desk", "tara"):
        assert not passes(made, order(action, initiator=initiator))


def test_nobody_else_anchors_from_the_anchor_wallet(made: Workspace) -> None:
    for initiator in ("desk", "tara", "paula"):
        decision = decided(made, order(GOOD, initiator=initiator))
        assert Reason.DENIED_BY_RULE in [one.reason for one in decision.objections]


def test_the_service_does_nothing_from_other_wallets(made: Workspace) -> None:
    for action in (GOOD, Transfer(native_asset(CHAIN), cast.KRAKEN, 1), Message("hello")):
        assert decided(made, order(action, wallet="wal_treasury")).outcome is Outcome.DENY


def test_gas_for_more_than_an_anchor_is_denied(made: Workspace) -> None:
    assert decided(made, order(GOOD, fee=2 * FEE)).outcome is Outcome.PERMIT
    assert decided(made, order(GOOD, fee=2 * FEE + 1)).outcome is Outcome.DENY


def test_sixty_anchors_in_an_hour_are_enough(made: Workspace) -> None:
    each = spends(made, order(GOOD), NOW - 60)
    before = tuple(replace(one, subject=number.to_bytes(32, "big")) for number in range(60) for one in each)
    assert decided(made, order(GOOD), Facts(NOW, before[len(each) :])).outcome is Outcome.PERMIT
    late = decided(made, order(GOOD), Facts(NOW, before))
    assert [objection.reason for objection in late.objections] == [Reason.VELOCITY_EXCEEDED]
    assert decided(made, order(GOOD), Facts(NOW + 3600, before)).outcome is Outcome.PERMIT


def test_a_suspended_contract_takes_no_anchors(made: Workspace) -> None:
    entries = tuple(
        replace(entry, state="SUSPENDED") if entry.entry_id == "log-anchor" else entry for entry in made.contracts
    )
    assert decided(replace(made, contracts=entries), order(GOOD)).outcome is Outcome.DENY
