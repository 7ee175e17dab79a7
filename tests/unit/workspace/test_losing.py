"""What goes away, and what it opens where a rule shuts a door on it, or where only its own state did."""

from __future__ import annotations

from dataclasses import replace

import pytest

from oms_core.workspace import EntryState, Incompatible
from oms_core.workspace.parts import direction
from tests.people import rules
from tests.unit.workspace.test_directions import BLIND, CASES, LOOSEN, PLAIN, POOL, TIGHTEN, each
from tests.unit.workspace.test_registry import ROUTER

INTERNS = "- rule: interns\n  deny:\n  when: {initiator.group: risk}\n"
NOT_INTERNS = "- rule: others\n  permit:\n  when: {initiator.role: not risk}\n"
BAD_TAG = "- rule: bad\n  deny:\n  when: {destination.tag: exchange}\n"
STRANGERS = "- rule: strangers\n  permit:\n  when: {destination.type: ONE_TIME}\n"
NEAR = "- rule: near\n  deny:\n  when: {destination.lookalike: below 5}\n"
PER_PROTOCOL = "- rule: each\n  limit: {count: 5, every: 24h, per: [protocol]}\n"
UNLISTED = "- rule: unlisted\n  permit:\n  when: {registry.state: not ACTIVE}\n"
AGED = "- rule: aged\n  permit:\n  when: {destination.age: at least 30d}\n"
STALE = "- rule: stale\n  deny:\n  when: {registry.audit_age: above 7d}\n"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (INTERNS, "a member less"),
        (NOT_INTERNS, "a role less"),
        (NOT_INTERNS, "a role less at all"),
        (BAD_TAG, "an address less"),
        (STRANGERS, "an address less"),
        (NEAR, "an address less"),
        (PER_PROTOCOL, "a contract less"),
        (STALE, "a contract less"),
        (UNLISTED, "a contract less"),
        (AGED, "an address less"),
        (AGED, "a contract less"),
        ("- rule: r\n  require: {approvals: 1, from groups: [risk]}\n  when: {protocol: uniswap}\n", "a contract less"),
    ],
)
def test_to_lose_a_mark_on_which_a_rule_shuts_a_door_is_a_loosening(text: str, name: str) -> None:
    shut = tuple(rules(text))
    old, new = replace(PLAIN, rules=shut), replace(CASES[name][0], rules=shut)
    assert direction(PLAIN, CASES[name][0]) is TIGHTEN
    assert direction(old, new) is LOOSEN


@pytest.mark.parametrize("name", ["a member less", "an address less"])
def test_to_lose_a_mark_on_which_rules_only_open_doors_is_a_tightening(name: str) -> None:
    marks = "initiator.group: risk, destination.type: WHITELISTED, destination.tag: exchange"
    held = rules(
        f"- rule: p\n  permit:\n  when: {{{marks}}}\n" + "- rule: d\n  deny:\n  when: {initiator.group: not risk}\n"
    )
    assert direction(replace(PLAIN, rules=held), replace(CASES[name][0], rules=held)) is TIGHTEN


@pytest.mark.parametrize("state", [EntryState.SUSPENDED, EntryState.REVOKED])
@pytest.mark.parametrize(("book", "name"), [("address_book", "new"), ("contracts", "pool")])
def test_to_strike_what_is_suspended_loosens_as_strangers_are_refused_only_if_rules_say_so(
    book: str, name: str, state: EntryState
) -> None:
    """With a PERMIT that asks for no entry, what is suspended is refused, and what is in no list is not."""
    old = each(book, "entry_id", name, state=state)
    assert direction(old, replace(old, **{book: getattr(old, book)[:-1]})) is LOOSEN  # type: ignore[arg-type]


def test_to_strike_a_contract_that_expires_loosens_as_its_end_goes_with_it() -> None:
    assert ROUTER.expires_at
    assert direction(PLAIN, replace(PLAIN, contracts=(POOL,))) is LOOSEN


@pytest.mark.parametrize("name", ["a method less", "a contract less"])
def test_what_can_no_longer_be_read_is_opened_by_a_rule_for_what_nobody_can_read(name: str) -> None:
    held = rules(BLIND)
    assert direction(PLAIN, CASES[name][0]) is TIGHTEN
    assert direction(replace(PLAIN, rules=held), replace(CASES[name][0], rules=held)) is LOOSEN


def test_two_pairs_of_roles_that_read_alike_are_not_one() -> None:
    pair, other = Incompatible("a and b", "c", "why"), Incompatible("a", "b and c", "why")
    assert direction(replace(PLAIN, incompatible=(pair,)), replace(PLAIN, incompatible=(other,))) is LOOSEN
