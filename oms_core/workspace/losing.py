"""Whether losing a mark (a role, a group, a tag, a place in the book) can only hold orders back, under given rules.

A mark opens doors where a PERMIT asks for it. Where a DENY asks for it, losing it opens one: whoever leaves the group
of interns may do what interns may not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from oms_core.policy.rules import Kind, Operator, Per, Rule, Test, opens_unreadable
from oms_core.workspace import AddressEntry, ContractEntry, EntryState

Marks = Mapping[str, tuple[str, ...]]


def losing_tightens(rules: Iterable[Rule], lost: Marks, gained: Marks | None = None) -> bool:
    """``lost`` are fields with the values that go away, ``gained`` those with the value that takes their place.

    Rules that are off count as well: to switch a DENY on takes one person, and it would come back with a hole in it.
    """
    return not any(_opens(rule, test, lost, gained or {}) for rule in rules for test in rule.when)


def leaving_tightens(rules: Iterable[Rule], entry: AddressEntry | ContractEntry) -> bool:
    """Whether to strike an entry from the book or the registry can only hold orders back."""
    rules = tuple(rules)
    if entry.state is not EntryState.ACTIVE:
        return False  # what is suspended is refused whatever rules permit, what is in no list is not
    kind = "WHITELISTED" if isinstance(entry, AddressEntry) else "CONTRACT"
    lost = {"destination.entry": (entry.entry_id,), "destination.tag": entry.tags, "destination.type": (kind,)}
    if isinstance(entry, ContractEntry):
        lost["protocol"], lost["registry.state"] = (entry.protocol,), (entry.state,)
        if entry.expires_at or ((entry.methods or entry.unwraps) and not unreadable_tightens(rules)):
            return False
        if any(Per.PROTOCOL in cap.per for rule in rules for cap in rule.caps):
            return False
    for rule in rules:
        for test in rule.when:
            # What stands in the book and in the registry is as old as the later entry: without it, it is older.
            other = test.field in ("destination.lookalike", "destination.age")
            if other or (rule.kind is not Kind.PERMIT and test.field.startswith("registry.")):
                return False
    return losing_tightens(rules, lost, {"destination.type": ("ONE_TIME",)})


def unreadable_tightens(rules: Iterable[Rule]) -> bool:
    """Whether calls that could be read and no longer can are held back: no rule is there for what nobody reads."""
    return not any(rule.kind is Kind.PERMIT and opens_unreadable(rule) for rule in rules)


def _opens(rule: Rule, test: Test, lost: Marks, gained: Marks) -> bool:
    """Whether this test could let more through when the marks have changed so."""
    if test.field not in lost and test.field not in gained:
        return False
    if test.operator not in (Operator.IS, Operator.IS_NOT, Operator.STARTS):
        return True
    opens_by_having = (rule.kind is Kind.PERMIT) is not (test.operator is Operator.IS_NOT)
    changed = gained if opens_by_having else lost
    return _asked(test, changed.get(test.field, ()))


def _asked(test: Test, values: tuple[str, ...]) -> bool:
    if test.operator is Operator.STARTS:
        return any(value.startswith(str(start)) for value in values for start in test.values)
    return bool(set(values) & set(test.values))
