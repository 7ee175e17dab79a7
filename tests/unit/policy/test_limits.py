"""Limits: what counts, since when, for whom, and that nothing counts twice or not at all."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC as _UTC
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from oms_core.chains.operations import Operation
from oms_core.errors import Malformed, Reason, Refused
from oms_core.policy.decision import Decision
from oms_core.policy.facts import Facts, Spend
from oms_core.policy.hours import UTC, calendar_window, offset
from oms_core.policy.judge import Outcome
from oms_core.policy.limits import YEAR, Keys, horizon, quota
from oms_core.policy.rules import DAY, Action, Calendar, Cap, Operator, Per, Rule, Unit, Zone
from oms_core.policy.spends import spends, spends_of
from tests.unit.policy.world import (
    CHAIN,
    COIN,
    DOLLAR,
    ETHER,
    KRAKEN,
    MESSAGE,
    NOW,
    OPAQUE,
    ROUTER,
    STRANGER,
    UNLISTED,
    UNPRICED,
    USDC,
    allow,
    call,
    decide,
    intent,
    limit,
    pay,
    permit,
    spent,
    test,
    token,
    usd,
    wish,
    workspace,
)

IS = Operator.IS


def under(*limits: Rule, operations: tuple[Operation, ...] = (), past: tuple[Spend, ...] = ()) -> Decision:
    return decide([permit(), *limits], *operations, facts=Facts(NOW, past))


def reasons(decision: Decision) -> list[Reason]:
    return [objection.reason for objection in decision.objections]


def fits(decision: Decision) -> bool:
    assert set(reasons(decision)) <= {Reason.VELOCITY_EXCEEDED}
    return decision.outcome is Outcome.PERMIT


DAILY = limit(usd(500_000, DAY, Per.INITIATOR))


def dollars(amount: int) -> Operation:
    return token(amount * DOLLAR)


# The daily limit of half a million.


def test_a_trader_spends_up_to_her_limit_and_not_more() -> None:
    first = spent(300_000)
    assert fits(under(DAILY, operations=(dollars(200_000),), past=(first,)))
    decision = under(DAILY, operations=(dollars(250_000),), past=(first,))
    assert reasons(decision) == [Reason.VELOCITY_EXCEEDED]
    (use,) = decision.limits
    assert (use.before, use.after, use.maximum) == (300_000 * DOLLAR, 550_000 * DOLLAR, 500_000 * DOLLAR)
    assert decision.objections[0].text == "300,000 USD before and 250,000 USD now are above 500,000 USD (person p-dora)"


def test_coins_tokens_allowances_and_coins_sent_with_calls_all_count() -> None:
    for operation in (pay(100 * ETHER), dollars(300_000), allow(300_000 * DOLLAR), call(100 * ETHER)):
        assert fits(under(DAILY, operations=(operation,), past=(spent(200_000),)))
        assert not fits(under(DAILY, operations=(operation,), past=(spent(200_001),)))


def test_all_operations_of_an_order_count_together() -> None:
    parts = (pay(50 * ETHER), dollars(150_000), allow(200_000 * DOLLAR))
    assert fits(under(DAILY, operations=parts))
    assert not fits(under(DAILY, operations=(*parts, call(1))))


def test_what_is_sent_along_with_a_tokens_movement_counts_too() -> None:
    decision = under(limit(usd(10_000)), operations=(token(4_000 * DOLLAR, value=2 * ETHER),))
    assert decision.limits[0].after == 10_000 * DOLLAR


def test_a_spend_of_a_rule_that_does_not_exist_any_more_counts() -> None:
    other = replace(spent(500_000), action=Action.CALL, protocol="uniswap", asset=COIN)
    assert not fits(under(DAILY, past=(other,)))


def test_the_same_order_never_counts_twice() -> None:
    (mine,) = spends(workspace(), intent(), NOW - 60)
    tight = limit(usd(3000, DAY))
    assert fits(under(tight, past=(mine,)))
    assert not fits(under(tight, past=(replace(mine, subject=b"o" * 32),)))


def test_an_order_that_takes_an_allowance_back_passes_a_limit_that_is_used_up() -> None:
    assert fits(under(DAILY, operations=(allow(0),), past=(spent(600_000),)))


def test_a_price_is_rounded_up() -> None:
    (one,) = spends_of(workspace(), intent(), (pay(1),), NOW)
    assert (one.amount, one.usd_micro) == (1, 1)
    (two,) = spends_of(workspace(), intent(), (pay(ETHER // 3_000_000_000 + 1),), NOW)
    assert two.usd_micro == 2


# What cannot be counted.


@pytest.mark.parametrize("asset", [UNPRICED, UNLISTED])
def test_what_has_no_price_cannot_be_held_against_a_limit_in_usd(asset: str) -> None:
    decision = under(limit(usd(10**9)), operations=(token(5, asset=asset),))
    assert reasons(decision) == [Reason.FACT_UNKNOWN]
    assert under(limit(usd(10**9)), operations=(token(0, asset=asset),)).outcome is Outcome.PERMIT


def test_a_past_spend_without_a_price_makes_the_sum_unknown_as_long_as_it_counts() -> None:
    odd = spent(5, asset=UNPRICED, usd_micro=-1)
    assert reasons(under(DAILY, past=(odd,))) == [Reason.FACT_UNKNOWN]
    assert fits(under(DAILY, past=(replace(odd, at=NOW - DAY),)))
    assert fits(under(DAILY, past=(replace(odd, initiator="tara"),)))


def test_a_negative_spend_makes_the_sum_unknown() -> None:
    for bad in (spent(5, amount=-1, usd_micro=-2), spent(5, usd_micro=-5)):
        assert reasons(under(DAILY, past=(bad,))) == [Reason.FACT_UNKNOWN]


# Windows.


def test_a_rolling_window_forgets_after_exactly_its_seconds() -> None:
    full = spent(500_000)
    assert not fits(under(DAILY, past=(replace(full, at=NOW - DAY + 1),)))
    assert fits(under(DAILY, past=(replace(full, at=NOW - DAY),)))
    assert not fits(under(DAILY, past=(replace(full, at=NOW),)))


def test_what_is_from_the_future_counts() -> None:
    assert not fits(under(DAILY, past=(spent(500_000, NOW + 3600),)))


def test_a_cap_on_one_order_does_not_look_back() -> None:
    single = limit(usd(3000))
    assert under(single, past=(spent(10**6),)).outcome is Outcome.PERMIT
    assert reasons(under(single, operations=(pay(ETHER + 1),))) == [Reason.LIMIT_EXCEEDED]


def berlin() -> Zone:
    """Winter and summer of 2026 and 2027, as Europe/Berlin had them."""
    place, at = ZoneInfo("Europe/Berlin"), int(datetime(2026, 1, 1, tzinfo=_UTC).timestamp())
    end = int(datetime(2028, 1, 1, tzinfo=_UTC).timestamp())
    offsets: list[tuple[int, int]] = []
    for hour in range(at, end, 3600):
        east = datetime.fromtimestamp(hour, place).utcoffset()
        assert east is not None
        if not offsets or offsets[-1][1] != east.total_seconds() // 60:
            offsets.append((hour, int(east.total_seconds() // 60)))
    return Zone("Europe/Berlin", tuple(offsets), end)


BERLIN = berlin()


def local(*when: int) -> int:
    return int(datetime(*when, tzinfo=ZoneInfo("Europe/Berlin")).timestamp())  # type: ignore[misc, arg-type]


@pytest.mark.parametrize(
    ("calendar", "now", "starts", "ends"),
    [
        (Calendar.DAY, (2026, 3, 29, 12), (2026, 3, 29), (2026, 3, 30)),  # 23 hours
        (Calendar.DAY, (2026, 10, 25, 23, 59, 59), (2026, 10, 25), (2026, 10, 26)),  # 25 hours
        (Calendar.DAY, (2026, 7, 1), (2026, 7, 1), (2026, 7, 2)),
        (Calendar.WEEK, (2026, 3, 29, 23), (2026, 3, 23), (2026, 3, 30)),
        (Calendar.WEEK, (2026, 3, 30), (2026, 3, 30), (2026, 4, 6)),
        (Calendar.MONTH, (2026, 3, 31, 23, 59, 59), (2026, 3, 1), (2026, 4, 1)),
        (Calendar.MONTH, (2026, 2, 28, 23, 59, 59), (2026, 2, 1), (2026, 3, 1)),
        (Calendar.MONTH, (2026, 12, 31, 23, 59, 59), (2026, 12, 1), (2027, 1, 1)),
    ],
)
def test_a_calendar_window_is_the_zones_day_week_or_month(
    calendar: Calendar, now: tuple[int, ...], starts: tuple[int, ...], ends: tuple[int, ...]
) -> None:
    assert calendar_window(calendar, BERLIN, local(*now)) == (local(*starts), local(*ends))


def test_every_hour_of_two_years_has_the_zones_own_time() -> None:
    place = ZoneInfo("Europe/Berlin")
    for at in range(BERLIN.offsets[0][0], BERLIN.known_until, 3600):
        east = datetime.fromtimestamp(at, place).utcoffset()
        assert east is not None
        assert offset(BERLIN, at) == east.total_seconds()


def test_a_month_ends_with_its_last_second_in_its_zone() -> None:
    cap = Cap(Unit.USD, 5000 * DOLLAR, 0, Calendar.MONTH, UTC, ())
    first = 1_798_761_600  # 2027-01-01 00:00 UTC
    assert not fits(under(limit(cap), past=(spent(5000, first),)))
    assert fits(under(limit(cap), past=(spent(5000, first - 1),)))
    later = Cap(Unit.USD, 5000 * DOLLAR, 0, Calendar.MONTH, Zone("East", ((0, 120),), 1 << 40), ())
    assert not fits(under(limit(later), past=(spent(5000, first - 7200),)))
    assert fits(under(limit(later), past=(spent(5000, first - 7201),)))


def test_where_the_local_time_is_not_known_a_calendar_limit_objects() -> None:
    for zone in (
        Zone("Old", ((0, 0),), NOW),
        Zone("New", ((NOW + 1, 0),), NOW + DAY),
        Zone("Few", ((NOW, 0),), 1 << 40),
    ):
        cap = Cap(Unit.USD, 10**15, 0, Calendar.MONTH, zone, ())
        assert reasons(under(limit(cap))) == [Reason.FACT_UNKNOWN]


# For whom.


@pytest.mark.parametrize(
    ("per", "changes"),
    [
        (Per.INITIATOR, {"initiator": "tara"}),
        (Per.SOURCE, {"wallet_id": "wal_cold"}),
        (Per.DESTINATION, {"destination": ROUTER}),
        (Per.DESTINATION, {"chain": "eip155:5"}),
        (Per.ASSET, {"asset": COIN}),
        (Per.PROTOCOL, {"protocol": "uniswap"}),
    ],
)
def test_what_is_counted_apart_leaves_the_others_their_own(per: Per, changes: dict[str, object]) -> None:
    apart = limit(usd(500_000, DAY, per))
    full = spent(500_000)
    assert not fits(under(apart, operations=(dollars(1),), past=(full,)))
    assert fits(under(apart, operations=(dollars(1),), past=(replace(full, **changes),)))
    assert not fits(under(limit(usd(500_000, DAY)), operations=(dollars(1),), past=(replace(full, **changes),)))


def test_two_users_of_one_person_share_what_each_initiator_has() -> None:
    people = tuple(replace(u, person_id="p-dora") if u.user_id == "tara" else u for u in workspace().users)
    facts = Facts(NOW, (spent(500_000, initiator="tara"),))
    assert not fits(decide([permit(), DAILY], dollars(1), facts=facts, users=people))


def test_an_order_to_two_destinations_counts_for_each() -> None:
    each = limit(usd(100, DAY, Per.DESTINATION))
    assert fits(under(each, operations=(dollars(100), token(100 * DOLLAR, STRANGER))))
    assert not fits(under(each, operations=(dollars(60), dollars(60))))


def test_base_units_of_different_assets_are_no_sum() -> None:
    cap = Cap(Unit.BASE, 1000, DAY, None, None, ())
    both = (token(1000), pay(1000))
    assert fits(under(limit(cap), operations=both))
    assert not fits(under(limit(cap), operations=both, past=(spent(0, amount=1),)))
    assert fits(under(limit(cap), operations=both, past=(spent(0, amount=1, asset=UNPRICED),)))


def test_operations_are_counted_each_once_whatever_they_let_out() -> None:
    cap = Cap(Unit.COUNT, 3, DAY, None, None, ())
    two = (spent(1), spent(1, operation=1), spent(0, operation=1, asset=COIN))
    assert fits(under(limit(cap), operations=(MESSAGE,), past=two))
    assert fits(under(limit(cap), operations=(token(1, value=1),), past=two))
    assert not fits(under(limit(cap), operations=(MESSAGE, pay()), past=two))


# Which spends a limit speaks of.


def test_a_limit_on_an_asset_counts_that_asset_alone() -> None:
    stable = limit(usd(1000, DAY), when=(test("asset", IS, USDC),))
    assert fits(under(stable, operations=(pay(100 * ETHER),)))
    assert fits(under(stable, operations=(dollars(1000),), past=(spent(10**6, asset=COIN),)))
    assert not fits(under(stable, operations=(dollars(1),), past=(spent(1000),)))
    mixed = under(stable, operations=(token(900 * DOLLAR, value=ETHER),))
    assert [use.after for use in mixed.limits] == [900 * DOLLAR]


def test_a_limit_on_an_action_counts_that_action_alone() -> None:
    approvals = limit(usd(1000, DAY), when=(test("action", IS, "APPROVE"),))
    assert fits(under(approvals, operations=(allow(1000 * DOLLAR),), past=(spent(10**6),)))
    assert not fits(under(approvals, operations=(allow(DOLLAR),), past=(spent(1000, action=Action.APPROVE),)))


def test_a_test_that_past_spends_do_not_show_keeps_none_from_counting() -> None:
    routed = limit(usd(1000, DAY), when=(test("method", Operator.STARTS, "transfer("),))
    assert not fits(under(routed, operations=(dollars(1),), past=(spent(1000),)))


def test_a_limit_on_a_group_counts_what_the_group_spent() -> None:
    traders = limit(usd(1000, DAY), when=(test("initiator.group", IS, "traders"),))
    assert not fits(under(traders, operations=(dollars(1),), past=(spent(1000, initiator="tara"),)))
    assert fits(under(traders, operations=(dollars(1),), past=(spent(1000, initiator="cleo"),)))
    assert not fits(under(traders, operations=(dollars(1),), past=(spent(1000, initiator="gone"),)))


def test_a_wrapper_counts_with_all_that_is_sent_along_whatever_it_says_that_it_passes_on() -> None:
    inner = replace(pay(1000 * ETHER, KRAKEN), depth=1)
    calls = limit(usd(500_000, DAY), when=(test("action", IS, "CALL"),))
    assert not fits(under(calls, operations=(call(1000 * ETHER), inner)))
    assert [one.amount for one in spends_of(workspace(), intent(), (call(5), replace(call(3), depth=1)), NOW)] == [5, 3]


@pytest.mark.parametrize("operation", [OPAQUE, replace(call(0), action=Action.TYPED_MESSAGE)], ids=["opaque", "terms"])
def test_a_limit_in_usd_objects_to_what_nobody_can_value(operation: Operation) -> None:
    everything = limit(usd(10**6, DAY))
    decision = under(everything, operations=(operation,))
    assert Reason.FACT_UNKNOWN in {no.reason for no in decision.objections}


def test_a_wish_for_a_key_spends_nothing_and_is_counted() -> None:
    (one,) = spends(workspace(), wish(), NOW)
    assert (one.action, one.asset, one.amount) == (Action.KEY_CREATE, "", 0)


# Quotas and how far back they look.


def test_a_quota_tells_what_a_limit_will_say() -> None:
    past = (spent(300_000), spent(20, initiator="tara"), spent(5, NOW - DAY), spent(1, subject=b"o" * 32))
    found = quota(workspace(DAILY), Facts(NOW, past), "limit", Keys(initiator="desk"))
    assert (found.used, found.maximum, found.count) == (300_001 * DOLLAR, 500_000 * DOLLAR, 2)
    assert (found.window_start, found.window_end) == (NOW - DAY + 1, NOW + 1)
    (use,) = under(DAILY, operations=(dollars(7),), past=past).limits
    assert (use.before, use.starts, use.ends) == (found.used, found.window_start, found.window_end)


def test_a_quota_of_base_units_is_one_of_an_asset() -> None:
    caps = (usd(1), Cap(Unit.BASE, 10**9, DAY, None, None, ()))
    past = Facts(NOW, (spent(3), spent(4, asset=COIN)))
    assert quota(workspace(limit(*caps)), past, "limit", Keys(asset=USDC), cap=1).used == 3 * DOLLAR
    assert quota(workspace(limit(*caps)), past, "limit", Keys(), cap=0).used == 0


def test_there_is_no_quota_of_what_is_no_limit_nor_of_what_nobody_can_sum() -> None:
    for rule_id, cap in (("permit", 0), ("none", 0), ("limit", 1), ("limit", -1)):
        with pytest.raises(Malformed) as caught:
            quota(workspace(permit(), DAILY), Facts(NOW), rule_id, Keys(), cap)
        assert caught.value.reason is Reason.UNKNOWN_FIELD
    with pytest.raises(Refused) as refused:
        quota(workspace(DAILY), Facts(NOW, (spent(1, usd_micro=-1),)), "limit", Keys(initiator="desk"))
    assert refused.value.reason is Reason.FACT_UNKNOWN


def test_spends_have_to_be_known_for_as_long_as_the_longest_window() -> None:
    assert horizon(workspace(permit())) == 0
    assert horizon(workspace(limit(usd(1), usd(1, 7 * DAY)))) == 7 * DAY
    assert horizon(workspace(limit(Cap(Unit.USD, 1, 0, Calendar.MONTH, UTC, ())))) >= 31 * DAY
    assert horizon(workspace(limit(usd(1, 10 * YEAR)))) == YEAR
    assert horizon(workspace(limit(usd(1, DAY))), workspace(limit(usd(1, 9 * DAY))), workspace()) == 9 * DAY


@pytest.mark.parametrize("calendar", Calendar)
def test_no_calendar_window_is_longer_than_spends_are_known_whatever_its_zone_does(calendar: Calendar) -> None:
    """From 18 hours behind UTC to 18 hours ahead and back, at each hour of some months."""
    jumps = (0, -1080), (NOW, 1080), (NOW + 40 * DAY, -1080), (NOW + 80 * DAY, 1080)
    zone = Zone("Etc/Odd", jumps, NOW + 400 * DAY)
    reach = horizon(workspace(limit(Cap(Unit.USD, 1, 0, calendar, zone, ()))))
    for now in range(NOW - 40 * DAY, NOW + 120 * DAY, 3600):
        window = calendar_window(calendar, zone, now)
        assert window is not None
        assert now - window[0] < reach


def test_a_spend_says_all_that_limits_ask_for() -> None:
    (one,) = spends_of(workspace(), intent(), (allow(),), NOW)
    assert (one.wallet_id, one.initiator, one.chain, one.at) == ("wal_hot", "desk", CHAIN, NOW)
    assert (one.destination, one.protocol) == (ROUTER, "uniswap")
    assert spends(workspace(), intent(), NOW)[0].destination == KRAKEN
