"""Import of an ordered policy: what asking rule after rule says, or stricter where noted; nothing is lost silently."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oms_core.analysis.anomalies import Anomaly, anomalies
from oms_core.analysis.fireblocks import Imported, import_policy
from oms_core.analysis.orders import Deed
from oms_core.analysis.orders import Order as Made
from oms_core.analysis.patterns import Names
from oms_core.errors import Malformed, Reason
from oms_core.policy.decision import Outcome
from oms_core.policy.judge import judge
from oms_core.policy.rules import Action, Kind, Operator, Per, Rule, Unit
from oms_core.workspace import Asset, Group, Workspace
from tests.unit.analysis import world
from tests.unit.analysis.test_regions import Order, inside
from tests.unit.analysis.world import NOW
from tests.unit.policy.world import CHAIN, KRAKEN, ROUTER, STRANGER

USDC, ETHER = "eip155:1/erc20:0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48", "eip155:1/slip44:60"
NAMES = Names(
    users={"u1": "tara", "u2": "desk", "gone": None},
    groups={"g1": "traders", "g2": "risk"},
    wallets={"0": "wal_hot", "1": "wal_cold"},
    assets={"ETH": ETHER, "USDC": USDC},
    entries={"x1": "kraken"},
    tags={"t1": "exchange"},
    types={"EXCHANGE": "exchange"},
)
GROUPS = {"u1": {"g1"}, "u2": {"g1", "g2"}}
STRICTNESS = {"ALLOW": 0, "2-TIER": 1, "BLOCK": 2}


class Assets:
    """All of a workspace that an import looks at."""

    assets = (Asset(ETHER, "ETH", 18, (), 3_000_000_000, b""), Asset(USDC, "USDC", 6, (), 1_000_000, b""))


WORKSPACE: Workspace = Assets()  # type: ignore[assignment]


def rule(action: str = "ALLOW", **parts: Any) -> dict[str, Any]:
    verdict: dict[str, Any] = {"action": action}
    if action == "2-TIER":
        verdict["approvers"] = {"approvalGroups": [{"threshold": 1, "groups": ["g2"]}]}
    return {
        "name": "r", "id": "i", "policyEngineVersion": "v2", "type": "TRANSFER", "initiator": "*", "source": {},
        "verdict": verdict, **parts,
    }  # fmt: skip


def imported(*rules: dict[str, Any]) -> Imported:
    return import_policy(json.dumps(list(rules)), NAMES, WORKSPACE)


@dataclass(frozen=True)
class Transfer:
    """An order in their terms."""

    type: str
    user: str
    wallet: str
    destination: str  # EXCHANGE x1, or a whitelisted OTHER, or ONE_TIME
    asset: str
    usd: int  # micro-USD

    def fields(self) -> Order:
        """The same in ours."""
        kinds = {"x1": ("WHITELISTED", {"kraken"}, {"exchange"}), "OTHER": ("WHITELISTED", {"other"}, set())}
        kind, entries, tags = kinds.get(self.destination, ("ONE_TIME", set(), set()))
        return {
            "action": frozenset({{"TRANSFER": "TRANSFER", "CONTRACT_CALL": "CALL"}[self.type]}),
            "initiator.user": frozenset({NAMES.users[self.user] or ""}),
            "initiator.group": frozenset(NAMES.groups[group] or "" for group in GROUPS[self.user]),
            "source.wallet": frozenset({NAMES.wallets[self.wallet] or ""}),
            "destination.type": frozenset({kind}),
            "destination.entry": frozenset(entries),
            "destination.tag": frozenset(tags),
            "asset": frozenset({NAMES.assets[self.asset] or ""}),
            "amount.usd": frozenset({self.usd}),
        }


def matches(one: dict[str, Any], order: Transfer) -> bool:
    """Their semantics, written once more from their documentation."""
    initiator, source, destination = one["initiator"], one["source"], one.get("destination", {})
    who = initiator == "*" or (
        (order.user in initiator.get("users", []) or bool(GROUPS[order.user] & set(initiator.get("groups", []))))
        == (initiator.get("operator", "INCLUDES") == "INCLUDES")
    )
    ids = [item["id"] for item in source.get("ids", [])]
    wanted = destination.get("addressType", "*")
    one_time = order.destination == "ONE_TIME"
    types = destination.get("type", ["*"])
    assets = one.get("asset", {}).get("assetTypes", ["*"])
    amount = one.get("amount", {"range": {}})["range"]
    return (
        one["type"] == order.type
        and who
        and (not ids or order.wallet in ids)
        and wanted in {"*", "ONE_TIME" if one_time else "WHITELISTED"}
        and ("*" in types or ("EXCHANGE" in types and order.destination == "x1"))
        and ("*" in assets or order.asset in assets)
        and ("min" not in amount or order.usd > int(amount["min"]) * 10**6)
        and ("max" not in amount or order.usd <= int(amount["max"]) * 10**6)
    )


def first_match(rules: list[dict[str, Any]], order: Transfer) -> str:
    return next((str(one["verdict"]["action"]) for one in rules if matches(one, order)), "BLOCK")


def outcome(rules: tuple[Rule, ...], order: Transfer) -> str:
    """Order-independent, deny by default, on known values."""
    applies = {one.kind for one in rules if inside(one.when, order.fields())}
    if Kind.DENY in applies or Kind.PERMIT not in applies:
        return "BLOCK"
    return "2-TIER" if Kind.REQUIRE in applies else "ALLOW"


some = st.sampled_from
initiators = st.one_of(
    st.just("*"),
    st.fixed_dictionaries(
        {"users": st.lists(some(["u1", "u2"]), max_size=1), "groups": st.lists(some(["g1", "g2"]), min_size=1)},
        optional={"operator": some(["INCLUDES", "EXCLUDES"])},
    ),
)
ranges = st.fixed_dictionaries({}, optional={"min": some(["0", "100"]), "max": some(["100", "1000"])})
generated = st.builds(
    rule,
    some(["ALLOW", "BLOCK", "2-TIER"]),
    type=some(["TRANSFER", "CONTRACT_CALL"]),
    initiator=initiators,
    source=st.fixed_dictionaries({}, optional={"ids": some([[{"type": "VAULT", "id": "0"}]])}),
    destination=st.fixed_dictionaries(
        {"addressType": some(["*", "WHITELISTED", "ONE_TIME"])}, optional={"type": some([["EXCHANGE"], ["*"]])}
    ),
    asset=st.fixed_dictionaries({"nftTransfer": st.just(False), "assetTypes": some([["*"], ["ETH"], ["ETH", "USDC"]])}),
    amount=st.fixed_dictionaries({"range": ranges, "currency": st.just("USD")}),
)
orders = st.builds(
    Transfer,
    some(["TRANSFER", "CONTRACT_CALL"]),
    some(["u1", "u2"]),
    some(["0", "1"]),
    some(["x1", "OTHER", "ONE_TIME"]),
    some(["ETH", "USDC"]),
    some([0, 1, 99 * 10**6, 100 * 10**6, 100 * 10**6 + 1, 1000 * 10**6, 1001 * 10**6]),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(generated, max_size=6), st.lists(orders, min_size=15, max_size=15))
def test_the_imported_rules_say_what_asking_one_after_the_other_says(
    rules: list[dict[str, Any]], asked: list[Transfer]
) -> None:
    made = imported(*rules)
    assert not made.notes
    for order in asked:
        assert outcome(made.rules, order) == first_match(rules, order)


@settings(max_examples=150, deadline=None)
@given(st.lists(generated, min_size=1, max_size=5), st.data())
def test_what_cannot_be_translated_is_never_laxer(rules: list[dict[str, Any]], data: st.DataObject) -> None:
    """A part that our side does not know, in some rules; there it may match or not."""
    strange = data.draw(st.sets(st.integers(0, len(rules) - 1), min_size=1))
    theirs = [{**one, "derivationPath": {"path": [44]}} if at in strange else one for at, one in enumerate(rules)]
    made = imported(*theirs)
    assert {note.place for note in made.notes} == {at + 1 for at in strange}
    for order in data.draw(st.lists(orders, min_size=10, max_size=10)):
        matching = data.draw(st.sets(st.sampled_from(sorted(strange))))
        alive = [one for at, one in enumerate(rules) if at not in strange or at in matching]
        assert STRICTNESS[outcome(made.rules, order)] >= STRICTNESS[first_match(alive, order)]


def test_an_unknown_id_is_noted_and_one_that_is_nobody_here_is_not() -> None:
    made = imported(rule(initiator={"users": ["u9"]}), rule(initiator={"users": ["gone", "u1"]}))
    assert [(note.place, note.text) for note in made.notes] == [(1, "user 'u9' is not known here")]
    assert all(one.kind is not Kind.PERMIT for one in made.rules), "the first may match everything the second does"
    (only,) = imported(rule(initiator={"users": ["gone", "u1"]})).rules
    assert [test.values for test in only.when if test.field == "initiator.user"] == [("tara",)]


def test_a_block_over_an_amount_in_a_time_is_a_limit() -> None:
    period = {"seconds": "86400", "initiator": "PER_SINGLE_MATCH", "source": "ACROSS_ALL_MATCHES",
              "destination": "ACROSS_ALL_MATCHES"}  # fmt: skip
    over = {"range": {"min": "1000000"}, "currency": "USD", "timePeriod": period}
    made = imported(rule("BLOCK", amountOverTime=over), rule())
    limit, permit = sorted(made.rules, key=lambda one: one.kind)
    (cap,) = limit.caps
    assert (cap.unit, cap.maximum, cap.seconds, cap.per) == (Unit.USD, 10**12, 86_400, (Per.INITIATOR,))
    assert permit.kind is Kind.PERMIT
    assert permit.when == limit.when, "below it the rules after it are asked"
    assert not made.notes


def test_approvals_over_an_amount_in_a_time_are_asked_for_always_and_said_so() -> None:
    over = {"range": {"min": "10"}, "currency": "USD", "timePeriod": {"seconds": "60"}}
    made = imported(rule("2-TIER", amountOverTime=over), rule())
    assert sorted(one.kind for one in made.rules) == [Kind.PERMIT, Kind.REQUIRE]
    assert [note.place for note in made.notes] == [1]


def test_amounts_in_units_of_an_asset_are_read_by_its_decimals() -> None:
    amount = {"range": {"min": "1.5"}, "currency": "NATIVE"}
    made = imported(rule(amount=amount, asset={"nftTransfer": False, "assetTypes": ["ETH", "USDC"]}))
    edges = {
        str(test.values[0]): bound.values[0]
        for one in made.rules
        for test in one.when
        for bound in one.when
        if test.field == "asset" and bound.operator is Operator.AT_LEAST
    }
    assert edges == {ETHER: 15 * 10**17 + 1, USDC: 1_500_001}


def test_what_has_no_counterpart_is_always_noted() -> None:
    for parts in (
        {"amount": {"range": {"min": "1"}, "currency": "EUR"}},
        {"type": "STAKE"},
        {"type": "RAW"},
        {"destination": {"addressType": "*", "type": ["FIAT_ACCOUNT"]}},
        {"asset": {"nftTransfer": True}},
        {"dAppAddress": {"urls": ["x"]}},
        {"method": {"methodCalls": ["nonsense"], "operator": "EITHER"}},
    ):
        made = imported(rule(**parts))
        assert made.notes, parts
        assert not made.rules, parts
    assert imported(rule("BLOCK", type="STAKE")).rules[0].kind is Kind.DENY, "it blocks all that it may match"


def test_who_approves_is_translated_and_who_is_missing_is_noted() -> None:
    groups = [{"threshold": "2", "groups": ["g2"], "users": ["u9", "u1"]}]
    approvers = {"canInitiatorApprove": True, "operator": "OR", "approvalGroups": groups}
    made = imported(rule(verdict={"action": "2-TIER", "approvers": approvers}))
    require = next(one for one in made.rules if one.kind is Kind.REQUIRE)
    assert require.requirement is not None
    (quorum,) = require.requirement.any_of
    assert (quorum.threshold, quorum.users, quorum.groups) == (2, ("tara",), ("risk",))
    assert len(made.notes) == 2


def test_a_rule_whose_approvers_nobody_here_is_permits_nothing() -> None:
    approvers = {"approvalGroups": [{"threshold": 1, "groups": ["unheard of"]}]}
    made = imported(rule(verdict={"action": "2-TIER", "approvers": approvers}), rule())
    assert not made.rules
    assert made.notes


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", Reason.MALFORMED),
        ("{}", Reason.MALFORMED),
        ('[{"type": "TRANSFER", "action": "ALLOW"}]', Reason.UNSUPPORTED_TYPE),
        (json.dumps([rule("SCREEN")]), Reason.UNSUPPORTED_TYPE),
        (json.dumps([rule(amount={"range": {"min": "1e6"}, "currency": "USD"})]), Reason.MALFORMED),
        (json.dumps([rule(amount={"range": {"min": "-1"}, "currency": "USD"})]), Reason.NEGATIVE_AMOUNT),
        (json.dumps([rule(destination={"addressType": "SOMEHOW"})]), Reason.UNSUPPORTED_TYPE),
        (json.dumps([rule()] * 501), Reason.TOO_LARGE),
    ],
)
def test_what_is_no_policy_of_theirs_is_refused(text: str, reason: Reason) -> None:
    with pytest.raises(Malformed) as caught:
        import_policy(text, NAMES, WORKSPACE)
    assert caught.value.reason is reason


def test_the_four_anomalies_are_found() -> None:
    traders, desk = {"groups": ["g1"]}, {"users": ["u2"]}
    above = {"range": {"min": "100"}, "currency": "USD"}
    cases = {
        Anomaly.SHADOWING: (rule("BLOCK"), rule("ALLOW", initiator=desk)),
        Anomaly.REDUNDANCY: (rule("ALLOW"), rule("ALLOW", initiator=desk)),
        Anomaly.GENERALISATION: (rule("BLOCK", initiator=desk), rule("ALLOW")),
        Anomaly.CORRELATION: (rule("BLOCK", amount=above), rule("ALLOW", initiator=traders)),
    }
    for expected, rules in cases.items():
        (finding,) = anomalies(imported(*rules).steps)
        assert (finding.anomaly, finding.first, finding.second) == (expected, 1, 2)
    apart = (rule("ALLOW", type="APPROVE"), rule("BLOCK", type="TRANSFER"))
    assert anomalies(imported(*apart).steps) == ()


@settings(max_examples=150, deadline=None)
@given(st.lists(generated, min_size=2, max_size=4), st.lists(orders, min_size=15, max_size=15))
def test_a_rule_that_is_said_to_be_shadowed_never_decides(rules: list[dict[str, Any]], asked: list[Transfer]) -> None:
    made = imported(*rules)
    idle = {f.second - 1 for f in anomalies(made.steps) if f.anomaly in {Anomaly.SHADOWING, Anomaly.REDUNDANCY}}
    kept = [one for at, one in enumerate(rules) if at not in idle]
    for order in asked:
        assert first_match(kept, order) == first_match(rules, order)


def test_rules_that_match_too_much_in_too_many_ways_are_refused() -> None:
    crossing = [
        rule("BLOCK", initiator={"users": [f"n{at}"], "operator": "EXCLUDES"}, source={"tags": [{"id": f"s{at}"}]},
             destination={"tags": [{"id": f"d{at}"}], "addressType": "*"}, asset={"nftTransfer": False})
        for at in range(14)
    ]  # fmt: skip
    wide = replace(NAMES, users={f"n{at}": f"n{at}" for at in range(14)},
                   tags={f"{kind}{at}": f"{kind}{at}" for kind in "sd" for at in range(14)})  # fmt: skip
    with pytest.raises(Malformed) as caught:
        import_policy(json.dumps([*crossing, rule()]), wide, WORKSPACE)
    assert caught.value.reason is Reason.TOO_LARGE


@settings(max_examples=40, deadline=None)
@given(st.lists(generated, max_size=5), st.lists(orders, min_size=10, max_size=10))
def test_the_engine_decides_by_the_imported_rules_as_theirs_would(
    rules: list[dict[str, Any]], asked: list[Transfer]
) -> None:
    """Real transfers, derived from bytes; a base unit of either asset is worth a micro-dollar."""
    under = real_workspace()
    decided = replace(under, rules=import_policy(json.dumps(rules), real_names(), under).rules)
    verdicts = {Outcome.DENY: "BLOCK", Outcome.NEEDS_APPROVAL: "2-TIER", Outcome.PERMIT: "ALLOW"}
    for order in asked:
        there = replace(order, type="TRANSFER", usd=max(1, order.usd))
        real = Made(
            NAMES.users[order.user] or "",
            NAMES.wallets[order.wallet] or "",
            Deed(Action.TRANSFER, CHAIN, NAMES.assets[order.asset] or "", there.usd),
            {"x1": KRAKEN, "OTHER": ROUTER}.get(order.destination, STRANGER),
            NOW,
        )
        decision = judge(decided, real.subject, real.facts)
        assert verdicts[decision.outcome] == first_match(rules, there)


def real_names() -> Names:
    """Their entry is Kraken's; what is whitelisted besides is the router."""
    return replace(NAMES, entries={"x1": "kraken"})


def real_workspace() -> Workspace:
    """Their two users with their groups, and people who can approve."""
    under = world.workspace()
    coin, token = (replace(one, decimals=6, usd_micro=10**6) for one in under.assets[:2])
    groups = (Group("traders", ("tara", "desk")), Group("risk", ("desk", "ravi", "rosa")))
    return replace(under, assets=(coin, token), groups=groups, address_book=under.address_book[:1])
