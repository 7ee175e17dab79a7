"""Quotas: what is used is told for whomever a limit counts apart, in units that people read, and for machines."""

from __future__ import annotations

import pytest

from oms_core.analysis.quotas import quota_shares
from oms_core.errors import Malformed, Reason
from oms_core.policy.facts import Facts
from oms_core.policy.limits import Keys
from tests.unit.analysis.world import COIN, NOW, USDC, workspace
from tests.unit.policy.world import spent

DAILY = "- rule: daily\n  limit: {usd: 1,000, per: [initiator], every: 24h}\n"
COINS = "- rule: coins\n  limit:\n    - amount: 50 ETH\n    - {amount: 200 ETH, every: 1d}\n  when: {asset: ETH}\n"
SPENT = Facts(NOW, (spent(300, asset=USDC), spent(50, asset=USDC, initiator="tara", subject=b"t" * 32)))


def words(rules: str, keys: Keys = Keys(), facts: Facts = SPENT) -> list[str]:  # noqa: B008
    return [one.words.partition(" since ")[0] for one in quota_shares(workspace(rules), facts, keys)]


def test_a_quota_says_what_is_used_and_left_for_whom() -> None:
    (said,) = words(DAILY, Keys(initiator="desk"))
    assert said == "daily: at most 1,000 USD within 1d for each initiator: 300 USD used, 700 USD left, 1 operations"


def test_what_nobody_named_is_told_for_each_that_has_used_some_of_it() -> None:
    most, least = words(DAILY)
    assert "for each initiator, person " in most
    assert most.endswith(": 300 USD used, 700 USD left, 1 operations")
    assert least.endswith(": 50 USD used, 950 USD left, 1 operations")


def test_a_limit_on_one_asset_is_told_in_it_although_nobody_named_it() -> None:
    coin = spent(0, asset=COIN, amount=7 * 10**18, subject=b"c" * 32)
    one, day = words(COINS, facts=Facts(NOW, (*SPENT.spent, coin)))
    assert one == "coins: at most 50 ETH in one order"
    assert day == "coins: at most 200 ETH within 1d, ETH: 7 ETH used, 193 ETH left, 1 operations"
    assert words(COINS)[1] == "coins: at most 200 ETH within 1d: 0 ETH used, 200 ETH left, 0 operations"


def test_there_is_no_quota_of_a_limit_that_is_not_there() -> None:
    with pytest.raises(Malformed) as caught:
        list(quota_shares(workspace(DAILY), SPENT, Keys(), "dayly"))
    assert caught.value.reason is Reason.UNKNOWN_FIELD
