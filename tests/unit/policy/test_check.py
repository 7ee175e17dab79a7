"""What is refused of a rule before it may decide anything, each with its reason and the field's name."""

from __future__ import annotations

from dataclasses import replace

import pytest

from oms_core.errors import Malformed, Reason
from oms_core.policy.check import MAX_CAPS, MAX_RULE, check_rule
from oms_core.policy.hours import UTC
from oms_core.policy.rules import DAY, Calendar, Cap, Hours, Kind, Operator, Per, Rule, Unit, Zone
from oms_core.policy.rules import Test as Condition
from tests.unit.policy.world import (
    COIN,
    KRAKEN,
    NOW,
    SWAP,
    TEXT,
    UNLISTED,
    UNPRICED,
    USDC,
    deny,
    limit,
    permit,
    quorum,
    require,
    rule,
    test,
    usd,
    workspace,
)

IS, IS_NOT, ABOVE, STARTS = Operator.IS, Operator.IS_NOT, Operator.ABOVE, Operator.STARTS


def check(one: Rule) -> None:
    check_rule(workspace(), one)


def refused(one: Rule, said: str = "", reason: Reason = Reason.MALFORMED) -> None:
    with pytest.raises(Malformed) as caught:
        check(one)
    assert caught.value.reason is reason
    assert caught.value.message.startswith(f"rule {one.rule_id}")
    assert said in caught.value.message


GOOD = [
    test("action", IS, "TRANSFER", "CALL"),
    test("initiator.user", IS, "desk"),
    test("initiator.role", IS_NOT, "risk"),
    test("initiator.group", IS, "traders"),
    test("source.wallet", IS, "wal_any"),
    test("source.path", STARTS, "m/0/"),
    test("chain", IS, "eip155:1"),
    test("destination.address", IS, TEXT[KRAKEN]),
    test("destination.entry", IS, "kraken", "router"),
    test("asset", IS, COIN, USDC),
    test("amount", Operator.AT_MOST, 2**256 - 1),
    test("method", IS, SWAP),
    test("method", STARTS, "swap"),
    test("selector", IS, "0xa9059cbb"),
    test("args.1[*]", IS, 5, "x"),
    test("simulation.loss_usd", ABOVE, -5),
    test("broadcast.route", STARTS, "PRI"),
    test("opaque", IS, 1),
]


@pytest.mark.parametrize("good", GOOD, ids=str)
def test_a_test_that_can_be_met_is_taken(good: Condition) -> None:
    check(deny(good))


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (test("amout", ABOVE, 5), Reason.UNKNOWN_FIELD),
        (test("weather.rain", IS, 1), Reason.UNKNOWN_FIELD),
        (test("action", ABOVE, 5), Reason.UNSUPPORTED_TYPE),
        (test("opaque", ABOVE, 0), Reason.UNSUPPORTED_TYPE),
        (test("action", STARTS, "T"), Reason.UNSUPPORTED_TYPE),
        (test("action", IS, "MINT"), Reason.MALFORMED),
        (test("destination.type", IS, "MINE"), Reason.MALFORMED),
        (test("registry.state", IS, "active"), Reason.MALFORMED),
        (test("purpose", IS, "yes"), Reason.MALFORMED),
        (test("action", IS, 5), Reason.MALFORMED),
        (test("action", IS), Reason.MALFORMED),
        (test("action", IS, "CALL", "CALL"), Reason.MALFORMED),
        (test("amount", ABOVE, 5, 6), Reason.MALFORMED),
        (test("amount", ABOVE), Reason.MALFORMED),
        (test("amount", ABOVE, "5"), Reason.MALFORMED),
        (test("amount", ABOVE, 2**256), Reason.MALFORMED),
        (test("amount", ABOVE, -1), Reason.NEGATIVE_AMOUNT),
        (test("amount.usd", Operator.BELOW, -1), Reason.NEGATIVE_AMOUNT),
        (test("destination.age", Operator.BELOW, -1), Reason.NEGATIVE_AMOUNT),
        (test("opaque", IS, 2), Reason.MALFORMED),
        (test("args.0", ABOVE, "5"), Reason.MALFORMED),
        (test("args.0", STARTS, 5), Reason.MALFORMED),
        (test("protocol", IS, ""), Reason.MALFORMED),
        (test("protocol", IS, "a\nb"), Reason.MALFORMED),
        (test("protocol", IS, "x" * 281), Reason.MALFORMED),
        (test("protocol", IS, *(str(n) for n in range(257))), Reason.MALFORMED),
        (test("initiator.user", IS, "nobody"), Reason.UNKNOWN_USER),
        (test("initiator.role", IS, "king"), Reason.MALFORMED),
        (test("initiator.group", IS_NOT, "nobodies"), Reason.MALFORMED),
        (test("source.wallet", IS, "hot"), Reason.MALFORMED),
        (test("source.path", STARTS, "m/0"), Reason.MALFORMED),
        (test("chain", IS, "bitcoin"), Reason.UNSUPPORTED_TYPE),
        (test("destination.address", IS, "0x11"), Reason.BAD_ADDRESS),
        (test("destination.address", IS, "0x" + "aB" * 20), Reason.BAD_CHECKSUM),
        (test("destination.entry", IS, "binance"), Reason.MALFORMED),
        (test("asset", IS, UNLISTED), Reason.MALFORMED),
        (test("method", IS, "swap"), Reason.MALFORMED),
        (test("selector", IS, "0xA9059CBB"), Reason.MALFORMED),
    ],
    ids=str,
)
def test_a_test_that_means_nothing_is_refused(bad: Condition, reason: Reason) -> None:
    refused(permit(bad), bad.field, reason)


@pytest.mark.parametrize(
    "bounds",
    [
        (test("amount", ABOVE, 5), test("amount", Operator.BELOW, 6)),
        (test("amount", Operator.AT_LEAST, 6), test("amount", Operator.AT_MOST, 5)),
        (test("amount", ABOVE, 5), test("amount", Operator.AT_MOST, 5)),
    ],
)
def test_bounds_that_leave_nothing_between_them_are_refused(bounds: tuple[Condition, ...]) -> None:
    refused(deny(*bounds), "amount", Reason.UNSATISFIABLE)
    check(deny(test("amount", Operator.AT_LEAST, 5), test("amount", Operator.AT_MOST, 5)))


def test_a_limit_in_usd_on_an_asset_without_a_price_is_refused() -> None:
    odd = test("asset", IS, USDC, UNPRICED)
    refused(limit(usd(1), when=(odd,)), "ODD", Reason.FACT_UNKNOWN)
    refused(deny(odd, test("amount.usd", ABOVE, 5)), "ODD", Reason.FACT_UNKNOWN)
    check(deny(odd, test("amount", ABOVE, 5)))
    check(limit(usd(1), when=(test("asset", IS_NOT, UNPRICED),)))


def cap(**changes: object) -> Cap:
    return replace(Cap(Unit.USD, 5, DAY, None, None, ()), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (cap(maximum=-1), Reason.NEGATIVE_AMOUNT),
        (cap(maximum=2**256), Reason.MALFORMED),
        (cap(seconds=-1), Reason.MALFORMED),
        (cap(seconds=366 * DAY + 1), Reason.MALFORMED),
        (cap(calendar=Calendar.DAY, zone=UTC), Reason.MALFORMED),
        (cap(calendar=Calendar.DAY, seconds=0), Reason.MALFORMED),
        (cap(zone=UTC), Reason.MALFORMED),
        (cap(per=(Per.ASSET, Per.ASSET)), Reason.MALFORMED),
        (cap(seconds=0, calendar=Calendar.DAY, zone=Zone("UTC", (), 5)), Reason.MALFORMED),
    ],
)
def test_a_cap_that_limits_nothing_or_for_ever_is_refused(bad: Cap, reason: Reason) -> None:
    refused(limit(bad), "limit", reason)


def test_a_cap_may_be_as_long_as_a_year_and_as_short_as_an_order() -> None:
    check(limit(cap(seconds=366 * DAY), cap(seconds=0), cap(seconds=0, calendar=Calendar.MONTH, zone=UTC)))


@pytest.mark.parametrize(
    "bad",
    [
        rule("r", Kind.LIMIT),
        rule("r", Kind.REQUIRE),
        require(),
        require(quorum(0, "risk")),
        replace(permit(), caps=(cap(),)),
        replace(limit(cap()), requirement=require(quorum(1, "risk")).requirement),
        replace(permit(), starts=-1),
        replace(permit(), starts=NOW, ends=NOW),
        replace(permit(), ends=-1),
    ],
)
def test_a_rule_that_is_not_what_it_says_is_refused(bad: Rule) -> None:
    refused(bad)


@pytest.mark.parametrize(
    "bad",
    [
        {"days": ()},
        {"days": (7,)},
        {"days": (1, 1)},
        {"opens": 60, "closes": 60},
        {"opens": -1},
        {"closes": 1441},
        {"closed": (5, 5)},
        {"closed": (-1,)},
        {"zone": Zone("", ((0, 0),), 5)},
        {"zone": Zone("A", ((5, 0), (5, 0)), 9)},
        {"zone": Zone("A", ((5, 0),), 5)},
        {"zone": Zone("A", ((5, 1081),), 9)},
    ],
    ids=str,
)
def test_hours_that_there_are_not_are_refused(bad: dict[str, object]) -> None:
    hours = Hours(UTC, (0, 1), 480, 1080, ())
    check(replace(permit(), during=hours))
    refused(replace(permit(), during=replace(hours, **bad)), "during")  # type: ignore[arg-type]


def test_a_rule_has_a_size() -> None:
    many = tuple(test("args.0", IS_NOT, number) for number in range(61))
    refused(deny(*many), reason=Reason.TOO_LARGE)
    refused(limit(*[cap(maximum=n) for n in range(MAX_CAPS + 1)]), reason=Reason.TOO_LARGE)
    long = test("protocol", IS, *(f"{n:0200}" for n in range(MAX_RULE // 200)))
    refused(deny(long), reason=Reason.TOO_LARGE)
