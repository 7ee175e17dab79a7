"""Properties: what is read as what, and which character is wrong."""

from __future__ import annotations

import pytest

from oms_core.analysis.properties import (
    All,
    And,
    Approvals,
    Delay,
    Denied,
    Either,
    Not,
    Or,
    Property,
    parse_property,
)
from oms_core.errors import Malformed
from oms_core.policy.rules import Operator
from oms_core.policy.rules import Test as Condition


def read(text: str) -> Property:
    return parse_property(text)


def test_a_property_is_read_as_people_write_it() -> None:
    made = read("amount.usd > 1,000,000 and destination.type != WHITELISTED -> approvals(risk) >= 2")
    assert made.condition == And(
        (
            Condition("amount.usd", Operator.ABOVE, (10**12,)),
            Condition("destination.type", Operator.IS_NOT, ("WHITELISTED",)),
        )
    )
    assert made.claim == Approvals("risk", 2)


def test_and_binds_closer_than_or_and_brackets_closest() -> None:
    a, b, c = (Condition("chain", Operator.IS, (name,)) for name in "abc")
    assert read("chain = a or chain = b and chain = c -> denied").condition == Or((a, And((b, c))))
    assert read("(chain = a or chain = b) and not chain = c -> denied").condition == And((Or((a, b)), Not(c)))


def test_claims_have_brackets_delays_and_alternatives() -> None:
    assert read("any -> approvals >= 1 and (delay >= 24h or denied)").claim == All(
        (Approvals("", 1), Either((Delay(86_400), Denied())))
    )
    assert read("any->denied") == Property(And(()), Denied(), "any->denied")


def test_values_are_read_by_their_fields_type() -> None:
    assert read("amount.usd >= 0.5 -> denied").condition == Condition("amount.usd", Operator.AT_LEAST, (500_000,))
    assert read("destination.age < 7d -> denied").condition == Condition("destination.age", Operator.BELOW, (604_800,))
    assert read("unlimited = yes -> denied").condition == Condition("unlimited", Operator.IS, (1,))
    assert read('initiator.team = "front office" -> denied').condition == Condition(
        "initiator.team", Operator.IS, ("front office",)
    )
    assert read("source.path starts m/0/ -> denied").condition == Condition("source.path", Operator.STARTS, ("m/0/",))
    assert read("action in (TRANSFER, CALL) -> denied").condition == Condition(
        "action", Operator.IS, ("TRANSFER", "CALL")
    )


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("amount.usd > -> denied", "character 14: here has to be a value of amount.usd, not '->'"),
        ("amount.usd > many -> denied", "character 14: amount.usd is a number, not 'many'"),
        ("amount > 1.5 -> denied", "character 10:"),
        ("chain > a -> denied", "character 7: chain is no number and has only = and !=, not '>'"),
        ("chain = a", "character 10: here has to be '->', not the end"),
        ("chain = a -> permitted", "character 14: a claim is"),
        ("chain = a -> approvals(risk) = 2", "character 30: approvals is compared with >=, not '='"),
        ("chain = a -> approvals(risk) >= two", "character 33: here has to be a number, not 'two'"),
        ("chain = a -> denied denied", "character 21: here has to be 'and', 'or' or the end, not 'denied'"),
        ("chains = a -> denied", "character 1: there is no field 'chains'"),
        ("chain ~ a -> denied", "character 7: '~' means nothing here"),
        ("(chain = a -> denied", "character 12: here has to be ')', not '->'"),
        ("and chain = a -> denied", "character 1: here has to be a field, not 'and'"),
        ("", "character 1: here has to be a field, not the end"),
    ],
)
def test_what_cannot_be_read_is_told_by_its_character(text: str, where: str) -> None:
    with pytest.raises(Malformed) as caught:
        read(text)
    assert caught.value.message.startswith(where)
