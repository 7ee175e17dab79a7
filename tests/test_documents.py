"""Pages that are made from the tests are as the tests are."""

from __future__ import annotations

from tests.attack.table import ATTACKS, PAGE, RULES, covered, page


def test_every_rule_and_every_named_attack_has_a_test() -> None:
    tests = covered()
    assert [name for name in (*RULES, *ATTACKS) if not tests.get(name)] == []
    assert set(tests) <= {*RULES, *ATTACKS}


def test_the_table_of_attacks_is_up_to_date() -> None:
    assert PAGE.read_text() == page(), "run python -m tests.attack.table"
