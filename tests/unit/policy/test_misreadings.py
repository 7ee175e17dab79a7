"""What a careless line could be taken for: YAML that reads otherwise than it means is refused, never guessed at."""

from __future__ import annotations

from dataclasses import replace

import pytest

from oms_core.errors import Malformed, Reason
from oms_core.policy.check import check_rule
from oms_core.policy.rules import Operator, Rule
from oms_core.policy.rules import Test as Condition
from oms_core.policy.text import rules_from_yaml, rules_to_yaml
from oms_core.policy.units import base_units, in_units, micro_usd, usd
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
def test_texts_that_look_like_conditions_are_written_so_that_they_are_read_as_texts(one: Condition) -> None:
    rules = (permit(one),)
    assert rules_from_yaml(rules_to_yaml(rules, ASSETS), ASSETS) == rules


# Numbers, which half of the world writes the other way round


@pytest.mark.parametrize("number", ["1.000", "12.500", "999.999"])
@pytest.mark.parametrize(
    "line", ["limit: {usd: NUMBER}", 'limit: {usd: "NUMBER USD"}', "limit: {amount: NUMBER ETH}\n  when: {asset: ETH}"]
)
def test_a_point_before_three_digits_is_refused_by_line_and_told_both_ways_in_which_it_may_be_meant(
    line: str, number: str
) -> None:
    with pytest.raises(Malformed) as caught:
        rules_from_yaml(f"- rule: one\n  {line.replace('NUMBER', number)}\n", ASSETS)
    assert caught.value.message.startswith("line 2, rule one")
    assert f"{number} may be meant for {number.replace('.', ',')}, or for {number}0" in caught.value.message


@pytest.mark.parametrize(
    "number", ["1,00", "1,0000", "10,00.5", "1,000,00", ",500", "1,", "1.000,50", "1,000.", "1.0.0"]
)
@pytest.mark.parametrize("line", ['limit: {usd: "NUMBER"}', 'limit: {amount: "NUMBER USDC"}\n  when: {asset: USDC}'])
def test_commas_set_off_three_digits_and_nothing_else(line: str, number: str) -> None:
    with pytest.raises(Malformed, match="line 2, rule one"):
        rules_from_yaml(f"- rule: one\n  {line.replace('NUMBER', number)}\n", ASSETS)


@pytest.mark.parametrize("line", ["{usd: 1,00}", "{usd: 1,00, every: 24h}", "{usd: 1,0000}", "{amount: 1,00 ETH}"])
def test_a_number_that_yaml_cuts_at_a_comma_does_not_become_its_first_digits(line: str) -> None:
    with pytest.raises(Malformed, match="line 2, rule one"):
        rules_from_yaml(f"- rule: one\n  limit: {line}\n  when: {{asset: ETH}}\n", ASSETS)


@pytest.mark.parametrize(
    ("number", "worth"),
    [("0.125", 125_000), ("1.5", 1_500_000), ("1.25", 1_250_000), ("1.0000", 1_000_000), ("1000.125", 1_000_125_000),
     ("1,000.125", 1_000_125_000), ("1,000", 1_000_000_000), ("1,000,000.5", 1_000_000_500_000)],
)  # fmt: skip
def test_a_number_that_can_be_read_in_one_way_only_is_read_so(number: str, worth: int) -> None:
    (made,) = rules_from_yaml(f"- rule: one\n  limit: {{usd: {number}}}\n", ASSETS)
    assert made.caps[0].maximum == worth


@pytest.mark.parametrize("amount", ["1.0000000 USDC", "0.1234567 USDC"])
def test_more_decimals_than_an_asset_has_are_refused_even_if_they_are_nought(amount: str) -> None:
    with pytest.raises(Malformed) as caught:
        rules_from_yaml(f"- rule: one\n  limit: {{amount: {amount}}}\n  when: {{asset: USDC}}\n", ASSETS)
    assert caught.value.reason is Reason.PRECISION


@pytest.mark.parametrize(
    "when", [" {args.0: 1.000 USD}", " {simulation.loss: above 1.000 USD}", " {simulation.loss: 1,00 USD}"]
)
def test_a_worth_that_is_not_written_well_is_no_text_either(when: str) -> None:
    with pytest.raises(Malformed):
        read(when)


@pytest.mark.parametrize("number", [1_125_000, 999_001_000, 1_000_000, 125_000, 1_125_500, 1_234_125_000])
@pytest.mark.parametrize("decimals", [0, 2, 3, 6, 18])
def test_what_is_written_can_be_read_in_one_way_only(number: int, decimals: int) -> None:
    odd = replace(ASSETS[1], decimals=decimals)
    for text, again in ((usd(number), micro_usd), (in_units(number, [odd]), lambda text: base_units(text, [odd]))):
        assert again(text) == number
