"""What a careless line could be taken for: YAML that reads otherwise than it means is refused, never guessed at."""

from __future__ import annotations

import pytest

from oms_core.errors import Malformed
from oms_core.policy.check import check_rule
from oms_core.policy.rules import Operator, Rule, Test
from oms_core.policy.text import rules_from_yaml, rules_to_yaml
from tests.unit.policy.world import ASSETS, permit, test, workspace


def read(when: str, does: str = "deny:") -> Rule:
    """A rule with these conditions, as it is taken into a workspace."""
    (made,) = rules_from_yaml(f"- rule: one\n  {does}\n  when:{when}\n", ASSETS)
    check_rule(workspace(), made)
    return made


@pytest.mark.parametrize(
    "when",
    [
        "\n    destination.tag: not [risky, sanctioned]",
        "\n    destination.tag: not risky, sanctioned",
        "\n    destination.tag: risky, sanctioned",
        "\n    source.tier: '[hot, warm]'",
        ' {destination.tag: "not trusted"}',
        ' {destination.tag: "starts with own"}',
        " {destination.tag: Not trusted}",
        " {destination.tag: is not trusted}",
        " {destination.tag: not not trusted}",
        " {destination.tag: {not: not trusted}}",
        " {destination.tag: [not trusted, not own]}",
        ' {args.0: "above 5"}',
        ' {simulation.status: "not ok"}',
    ],
)
def test_a_condition_is_never_taken_for_a_text_that_nothing_is_called(when: str) -> None:
    with pytest.raises(Malformed):
        read(when)


@pytest.mark.parametrize("when", ["", " []", " {destination.tag: {}}", " {amount: {}}"])
def test_conditions_that_are_announced_and_do_not_follow_are_not_a_rule_for_everything(when: str) -> None:
    with pytest.raises(Malformed):
        read(when, "permit:")


def test_a_rule_without_conditions_announces_none_or_says_so() -> None:
    assert rules_from_yaml("- rule: one\n  permit:\n", ASSETS)[0].when == read(" {}", "permit:").when == ()


@pytest.mark.parametrize("value", ["yes", "no", "true", "False", "on", "null", "~"])
def test_a_decoded_flag_is_written_as_a_number(value: str) -> None:
    with pytest.raises(Malformed):
        read(f" {{args.1: {value}}}")
    assert read(" {args.1: 1}").when == (test("args.1", Operator.IS, 1),)


@pytest.mark.parametrize(
    "value", ["0x098b716b8aaf21512996dc57eb0615e2383e2f96", "0X098B716B8AAF21512996DC57EB0615E2383E2F96", "0xABCD"]
)
def test_an_argument_is_written_as_it_is_decoded(value: str) -> None:
    with pytest.raises(Malformed):
        read(f" {{args.1: {value}}}")
    with pytest.raises(Malformed):
        read(f" {{args.1: not {value}}}")


@pytest.mark.parametrize("when", [" {destination.age: below 7}", " {registry.audit_age: above 90}"])
def test_an_age_has_its_unit(when: str) -> None:
    with pytest.raises(Malformed):
        read(when)


def test_a_number_that_a_list_cuts_at_its_comma_is_refused() -> None:
    with pytest.raises(Malformed):
        read(" {amount.usd: [500,000 USD]}")


def test_conditions_of_which_both_can_never_hold_are_refused() -> None:
    with pytest.raises(Malformed):
        read("\n  - action: TRANSFER\n  - action: CALL")
    read("\n  - destination.tag: dex\n  - destination.tag: own")


def test_approvals_that_expire_at_once_are_not_approvals_for_ever() -> None:
    with pytest.raises(Malformed):
        rules_from_yaml("- rule: one\n  require: {approvals: 1, from groups: [risk], expires after: 0s}\n")


@pytest.mark.parametrize(
    "one",
    [
        test("destination.tag", Operator.IS, "not trusted"),
        test("destination.tag", Operator.IS_NOT, "above"),
        test("destination.tag", Operator.IS, "Is it", "At most"),
        test("args.0", Operator.IS, "not 5"),
        test("args.0", Operator.IS, "yes"),
        test("args.0", Operator.IS_NOT, "True", "5"),
    ],
)
def test_texts_that_look_like_conditions_are_written_so_that_they_are_read_as_texts(one: Test) -> None:
    rules = (permit(one),)
    assert rules_from_yaml(rules_to_yaml(rules, ASSETS), ASSETS) == rules
