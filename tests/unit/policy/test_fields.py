"""Fields: what each shows of an operation, and what its absence means for each operator and each kind of rule."""

from __future__ import annotations

from dataclasses import replace

import pytest

from oms_core.chains.intent import Bounds, Intent
from oms_core.chains.operations import Operation
from oms_core.errors import Malformed, Reason
from oms_core.keys import Change, ChangeKey
from oms_core.policy.facts import Facts, Observation, Provenance
from oms_core.policy.fields import FIELDS, field_named
from oms_core.policy.index import index_of
from oms_core.policy.judge import Outcome
from oms_core.policy.rules import DAY, Action, Kind, Operator
from oms_core.policy.spends import Judged, operations_of
from oms_core.policy.views import READERS, Seen, State, view_of_operation
from tests.unit.policy.world import (
    CHAIN,
    COIN,
    DOLLAR,
    ETHER,
    FROZEN,
    KRAKEN,
    MESSAGE,
    NOW,
    OPAQUE,
    ROUTER,
    STRANGER,
    SWAP,
    TEXT,
    UNLISTED,
    UNPRICED,
    USDC,
    allow,
    call,
    decide,
    deny,
    intent,
    limit,
    observed,
    pay,
    permit,
    quorum,
    require,
    test,
    token,
    usd,
    wish,
    workspace,
)

IS, IS_NOT, STARTS = Operator.IS, Operator.IS_NOT, Operator.STARTS
NUMERIC = (Operator.ABOVE, Operator.AT_LEAST, Operator.BELOW, Operator.AT_MOST)
SUSPEND = ChangeKey(
    "wal_hot", b"k" * 32, b"\x02" + b"x" * 32, b"c" * 32, Change.SUSPEND, 0, 0, (), "desk", "", NOW - 10, NOW + 1000
)


def see(field: str, operation: Operation | None = None, subject: Judged | None = None, *facts: Observation) -> Seen:
    """What a field shows of an operation of the first subject's."""
    about = subject or intent()
    one = operation or (pay() if isinstance(about, Intent) else operations_of(about, workspace())[0])
    by_name: dict[str, list[Observation]] = {}
    for fact in facts:
        by_name.setdefault(fact.name, []).append(fact)
    return view_of_operation(index_of(workspace()), NOW, about, 0, one, by_name).see(field)


def test_the_total_fee_is_what_an_order_may_pay_at_most() -> None:
    assert see("fee.total", subject=intent(bounds=Bounds(10**16, 100_000))).values == (10**16,)


def test_every_field_of_the_table_is_read_and_no_other() -> None:
    assert set(READERS) == set(FIELDS)


SHOWN: list[tuple[str, Operation | None, tuple[int | str, ...]]] = [
    ("action", None, ("TRANSFER",)),
    ("action", allow(), ("APPROVE",)),
    ("initiator.user", None, ("desk",)),
    ("initiator.role", None, ("trader",)),
    ("initiator.group", None, ("traders",)),
    ("initiator.team", None, ("trading",)),
    ("source.wallet", None, ("wal_hot",)),
    ("source.tag", None, ("trading",)),
    ("source.tier", None, ("hot",)),
    ("source.path", None, ("m/0/7/",)),
    ("chain", None, (CHAIN,)),
    ("destination.address", None, (TEXT[KRAKEN],)),
    ("destination.entry", None, ("kraken",)),
    ("destination.entry", call(), ("router",)),
    ("destination.entry", pay(to=STRANGER), ()),
    ("destination.tag", None, ("exchange",)),
    ("destination.tag", pay(to=STRANGER), ()),
    ("destination.type", None, ("WHITELISTED",)),
    ("destination.type", call(), ("CONTRACT",)),
    ("destination.type", pay(to=STRANGER), ("ONE_TIME",)),
    ("destination.type", pay(to=FROZEN), ()),
    ("destination.age", None, (10 * DAY,)),
    ("destination.lookalike", None, (40,)),
    ("destination.lookalike", pay(to=bytes.fromhex("11" * 19 + "12")), (1,)),
    ("asset", None, (COIN,)),
    ("asset", token(), (USDC,)),
    ("asset.class", token(), ("stable", "erc20")),
    ("amount", None, (ETHER,)),
    ("amount", token(7), (7,)),
    ("amount", call(5), (5,)),
    ("amount", call(), (0,)),
    ("amount.usd", None, (3000 * DOLLAR,)),
    ("amount.usd", pay(1), (1,)),
    ("amount.usd", allow(0, asset=UNPRICED), (0,)),
    ("value", None, (ETHER,)),
    ("value", token(), (0,)),
    ("method", call(), (SWAP,)),
    ("selector", token(), ("0xa9059cbb",)),
    ("args.0", call(), (5,)),
    ("args.1[1]", call(), (TEXT[ROUTER],)),
    ("args.1[*]", call(), (TEXT[KRAKEN], TEXT[ROUTER])),
    ("args.2.0", call(), (1,)),
    ("unlimited", None, (0,)),
    ("unlimited", allow(unlimited=True), (1,)),
    ("opaque", OPAQUE, (1,)),
    ("delegate", call(delegate=True), (1,)),
    ("depth", call(depth=2), (2,)),
    ("protocol", call(), ("uniswap",)),
    ("protocol", allow(), ("uniswap",)),
    ("protocol", None, ()),
    ("registry.state", call(), ("ACTIVE",)),
    ("registry.state", None, ()),
    ("registry.age", call(), (20 * DAY,)),
    ("registry.audit_age", call(), (30 * DAY,)),
    ("registry.severity", call(), (2,)),
    ("fee", None, (0,)),
    ("fee.total", None, (0,)),
    ("fee.total", MESSAGE, (0,)),
    ("fee.gas", None, (100_000,)),
    ("purpose", None, ("given",)),
]


@pytest.mark.parametrize(("field", "operation", "values"), SHOWN, ids=lambda value: str(value)[:24])
def test_a_field_shows_what_the_operation_is(
    field: str, operation: Operation | None, values: tuple[int | str, ...]
) -> None:
    seen = see(field, operation)
    assert (seen.state, seen.values) == (State.KNOWN, values)


@pytest.mark.parametrize(
    ("field", "operation"),
    [
        ("asset.class", token(asset=UNLISTED)),
        ("amount.usd", token(asset=UNPRICED)),
        ("amount.usd", token(asset=UNLISTED)),
        ("asset", token(value=1)),
        ("amount", token(value=1)),
        ("method", OPAQUE),
        ("selector", OPAQUE),
        ("args.9", call()),
        ("args.0", OPAQUE),
        ("simulation.slippage_bps", call()),
    ],
)
def test_what_an_operation_has_but_nobody_knows_is_unknown(field: str, operation: Operation) -> None:
    assert see(field, operation).state is State.UNKNOWN


@pytest.mark.parametrize("field", ["source.tag", "source.tier"])
def test_a_wallet_that_is_not_listed_has_tags_that_nobody_knows(field: str) -> None:
    assert see(field, pay(), intent(wallet_id="wal_new")).state is State.UNKNOWN


@pytest.mark.parametrize(
    ("field", "operation"),
    [
        ("asset", MESSAGE),
        ("amount", MESSAGE),
        ("amount.usd", MESSAGE),
        ("value", MESSAGE),
        ("destination.address", MESSAGE),
        ("destination.type", MESSAGE),
        ("method", pay()),
        ("destination.age", pay(to=STRANGER)),
        ("registry.age", pay()),
        ("registry.severity", pay()),
    ],
)
def test_what_an_operation_cannot_have_is_not_there(field: str, operation: Operation) -> None:
    assert see(field, operation).state is State.NONE


@pytest.mark.parametrize("subject", [wish(), SUSPEND], ids=["a new key", "a stopped key"])
def test_a_wish_about_a_key_moves_nothing_and_goes_nowhere(subject: Judged) -> None:
    for field in ("amount", "amount.usd", "value", "fee.total", "fee.gas"):
        assert see(field, subject=subject).values == (0,)
    for field in ("chain", "asset", "destination.address", "method", "source.path"):
        assert see(field, subject=subject).state is State.NONE


def test_an_account_is_our_own_only_if_that_was_observed_by_somebody_to_believe() -> None:
    own = ("destination.own", 1)
    assert see("destination.type", pay(to=STRANGER)).claimed == ("OWN",)
    assert see("destination.type", pay(to=STRANGER), None, observed(*own)).values == ("ONE_TIME", "OWN")
    assert see("destination.type", None, None, observed("destination.own", 0)).claimed == ()
    claimed = see("destination.type", None, None, observed(*own, Provenance.CLAIMED))
    assert (claimed.values, claimed.claimed) == (("WHITELISTED",), ("OWN",))


def test_a_purpose_of_blanks_is_none() -> None:
    assert see("purpose", subject=intent(purpose="  ")).values == ("empty",)


@pytest.mark.parametrize("name", ["amout", "args", "args.", "args.x", "args.01", "simulation", "other.thing", "AMOUNT"])
def test_there_is_no_field_that_is_not_in_the_table(name: str) -> None:
    with pytest.raises(Malformed) as caught:
        field_named(name)
    assert caught.value.reason is Reason.UNKNOWN_FIELD


# What absence does to each kind of rule. For each operator: a value that fits nothing in particular.

_ANY_VALUE = {"method": SWAP, "asset": USDC}
NONE_TEXT = [("method", pay()), ("asset", MESSAGE), ("destination.tag", MESSAGE)]
NO_NUMBER = [("amount", MESSAGE), ("amount.usd", MESSAGE), ("destination.age", pay(to=STRANGER))]
NOT_KNOWN = [("asset.class", token(asset=UNLISTED)), ("amount.usd", token(asset=UNPRICED)), ("method", OPAQUE)]


def applies(kind: Kind, operation: Operation, field: str, operator: Operator, value: int | str) -> bool:
    """Whether a rule of this kind, with one test, applies to the operation."""
    asked = test(field, operator, value)
    made = {
        Kind.DENY: deny(asked, rule_id="asked"),
        Kind.PERMIT: permit(asked, rule_id="asked"),
        Kind.LIMIT: limit(usd(10**9), when=(asked,), rule_id="asked"),
        Kind.REQUIRE: require(quorum(1, "risk"), when=(asked,), rule_id="asked"),
    }[kind]
    (line,) = (line for line in decide([made], operation).trace if line.rule_id == "asked")
    return line.applies


TIGHT = (Kind.DENY, Kind.LIMIT, Kind.REQUIRE)


@pytest.mark.parametrize(("field", "operation"), NONE_TEXT)
def test_what_cannot_be_there_is_not_this_text_and_is_not_known_to_be_another(field: str, operation: Operation) -> None:
    value = _ANY_VALUE.get(field, "x")
    for kind in Kind:
        assert not applies(kind, operation, field, IS, value)
        assert not applies(kind, operation, field, STARTS, value)
    assert all(applies(kind, operation, field, IS_NOT, value) for kind in TIGHT)
    assert not applies(Kind.PERMIT, operation, field, IS_NOT, value)


@pytest.mark.parametrize(("field", "operation"), NO_NUMBER)
@pytest.mark.parametrize("operator", [IS, IS_NOT, *NUMERIC])
def test_a_number_that_there_is_not_is_on_the_strict_side_of_every_test(
    field: str, operation: Operation, operator: Operator
) -> None:
    assert all(applies(kind, operation, field, operator, 5) for kind in TIGHT)
    assert not applies(Kind.PERMIT, operation, field, operator, 5)


@pytest.mark.parametrize(("field", "operation"), NOT_KNOWN)
def test_what_is_not_known_is_on_the_strict_side_of_every_test(field: str, operation: Operation) -> None:
    for operator in FIELDS[field].operators:
        value = 5 if operator in NUMERIC else _ANY_VALUE.get(field, "x")
        assert all(applies(kind, operation, field, operator, value) for kind in TIGHT)
        assert not applies(Kind.PERMIT, operation, field, operator, value)


@pytest.mark.parametrize("kind", Kind)
def test_an_account_in_no_list_has_no_tag_and_so_not_this_one(kind: Kind) -> None:
    assert not applies(kind, pay(to=STRANGER), "destination.tag", IS, "exchange")
    assert applies(kind, pay(to=STRANGER), "destination.tag", IS_NOT, "exchange")


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize(
    ("operator", "fits", "fails"),
    [
        (IS, ETHER, ETHER + 1),
        (IS_NOT, ETHER + 1, ETHER),
        (Operator.ABOVE, ETHER - 1, ETHER),
        (Operator.AT_LEAST, ETHER, ETHER + 1),
        (Operator.BELOW, ETHER + 1, ETHER),
        (Operator.AT_MOST, ETHER, ETHER - 1),
    ],
)
def test_a_known_number_fits_or_does_not(kind: Kind, operator: Operator, fits: int, fails: int) -> None:
    assert applies(kind, pay(), "amount", operator, fits)
    assert not applies(kind, pay(), "amount", operator, fails)


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize(
    ("operator", "fits", "fails"),
    [(IS, "m/0/7/", "m/0/"), (IS_NOT, "m/0/", "m/0/7/"), (STARTS, "m/0/", "m/0/70/"), (STARTS, "m/", "m/1/")],
)
def test_a_known_text_fits_or_does_not(kind: Kind, operator: Operator, fits: str, fails: str) -> None:
    assert applies(kind, pay(), "source.path", operator, fits)
    assert not applies(kind, pay(), "source.path", operator, fails)


FACT = "simulation.slippage_bps"


def observing(kind: Kind, operator: Operator, value: int | str, *facts: Observation) -> bool:
    asked = test(FACT, operator, value)
    rules = [permit()] if kind is not Kind.PERMIT else []
    made = {
        Kind.DENY: deny(asked, rule_id="asked"),
        Kind.PERMIT: permit(asked, rule_id="asked"),
        Kind.LIMIT: limit(usd(10**9), when=(asked,), rule_id="asked"),
        Kind.REQUIRE: require(quorum(1, "risk"), when=(asked,), rule_id="asked"),
    }[kind]
    decision = decide([*rules, made], facts=Facts(NOW, (), facts))
    return next(line.applies for line in decision.trace if line.rule_id == "asked")


CLAIMED, OWN, ATTESTED = Provenance.CLAIMED, Provenance.OWN, Provenance.ATTESTED
PAIRS = [(Operator.ABOVE, 100), (Operator.AT_LEAST, 101), (Operator.BELOW, 100), (Operator.AT_MOST, 99)]


@pytest.mark.parametrize(("operator", "bound"), [*PAIRS, (IS, 150), (IS_NOT, 150)])
@pytest.mark.parametrize("value", [50, 150])
def test_a_claim_makes_rules_apply_and_never_permits(operator: Operator, bound: int, value: int) -> None:
    claim = observed(FACT, value, CLAIMED)
    assert all(observing(kind, operator, bound, claim) for kind in TIGHT)
    assert not observing(Kind.PERMIT, operator, bound, claim)


@pytest.mark.parametrize("source", [OWN, ATTESTED])
@pytest.mark.parametrize("kind", Kind)
def test_what_was_observed_by_somebody_to_believe_decides(kind: Kind, source: Provenance) -> None:
    assert observing(kind, Operator.ABOVE, 100, observed(FACT, 150, source))
    assert not observing(kind, Operator.ABOVE, 100, observed(FACT, 50, source))


def test_a_claim_beside_an_observation_adds_and_takes_nothing_away() -> None:
    low, high = observed(FACT, 50), observed(FACT, 150, CLAIMED)
    assert all(observing(kind, Operator.ABOVE, 100, low, high) for kind in TIGHT)
    assert all(observing(kind, Operator.BELOW, 100, low, high) for kind in TIGHT)
    assert not observing(Kind.PERMIT, Operator.BELOW, 100, low, high)


def test_of_observations_that_differ_the_stricter_counts() -> None:
    both = (observed(FACT, 50), observed(FACT, 150, ATTESTED))
    for operator in (Operator.ABOVE, Operator.BELOW, Operator.IS_NOT):
        assert all(observing(kind, operator, 100 if operator in NUMERIC else 50, *both) for kind in TIGHT)
        assert not observing(Kind.PERMIT, operator, 100 if operator in NUMERIC else 50, *both)


def test_a_text_where_a_number_is_compared_tells_nothing() -> None:
    assert all(observing(kind, Operator.ABOVE, 100, observed(FACT, "high")) for kind in TIGHT)
    assert not observing(Kind.PERMIT, Operator.ABOVE, 100, observed(FACT, "high"))


def test_an_observation_of_another_operation_is_none_of_this() -> None:
    about_second = observed(FACT, 50, OWN, operation=1)
    assert observing(Kind.DENY, Operator.ABOVE, 100, about_second)
    assert not observing(Kind.DENY, Operator.ABOVE, 100, observed(FACT, 50, OWN, operation=0))


def test_a_permit_wants_all_members_of_an_array_and_a_denial_any() -> None:
    inside = test("args.1[*]", IS, TEXT[KRAKEN])
    assert decide([permit(), deny(inside)], call()).outcome is Outcome.DENY
    assert decide([permit(inside)], call()).outcome is Outcome.DENY
    both = test("args.1[*]", IS, TEXT[KRAKEN], TEXT[ROUTER])
    assert decide([permit(both)], call()).outcome is Outcome.PERMIT


def test_typed_data_has_no_selector_whatever_its_type_is_called() -> None:
    typed = replace(call(), action=Action.TYPED_MESSAGE, method="Order")
    permit_ = replace(token(), action=Action.APPROVE, method="Permit")
    for operation in (typed, permit_):
        assert see("selector", operation).state is State.NONE
        assert see("method", operation).values == (operation.method,)
