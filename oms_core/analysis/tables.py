"""What the engine answers for each choice of a universe: the same views, the same tests, asked beforehand.

A test depends on few of the choices: an initiator's role on who, a destination's age on what is done, to whom and when.
So its answers are a small table, however many orders there are. Tests on what the universe does not show in full
(members of arrays, how deep a call is wrapped) have no table: whoever reasons about them has to reckon with any answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import product

from oms_core.analysis.methods import complete
from oms_core.analysis.nested import nests
from oms_core.analysis.orders import KEYS, SILENT, WITHOUT_DESTINATION, Deed, Order
from oms_core.analysis.universe import Universe
from oms_core.chains.evm import native_asset, parse_address
from oms_core.chains.operations import Operation
from oms_core.chains.router import COMMANDS
from oms_core.errors import CountersealError, Reason
from oms_core.policy.compiled import FALSE, Asked
from oms_core.policy.fields import OBSERVED
from oms_core.policy.hours import open_at
from oms_core.policy.index import index_of
from oms_core.policy.invariants import broken
from oms_core.policy.logic import Truth
from oms_core.policy.rules import Action, Hours, Operator, Rule, Test
from oms_core.policy.spends import fee_of, operations_of
from oms_core.policy.views import OWN_ACCOUNT, State, View, view_of_fee, view_of_operation
from oms_core.workspace import Workspace

Axis = str
Cell = tuple[int, ...]
ALIKE = 20  # hex digits
MOVES = frozenset({Action.TRANSFER, Action.APPROVE})

_AXES: dict[str, tuple[Axis, ...]] = {
    "action": ("kind",),
    "initiator": ("who",),
    "source": ("wallet",),
    "source.path": ("sort", "path"),
    "chain": ("sort",),
    "destination": ("sort", "to"),
    "destination.age": ("sort", "to", "now"),
    "asset": ("deed", "read"),
    "amount": ("deed", "read"),
    "value": ("deed", "read"),
    "unlimited": ("deed", "read"),
    "method": ("kind", "to"),
    "selector": ("kind", "to"),
    "args": ("kind", "to"),
    "opaque": ("kind", "to"),
    "delegate": ("kind", "to"),
    "protocol": ("kind", "to"),
    "registry": ("kind", "to"),
    "registry.age": ("kind", "to", "now"),
    "registry.audit_age": ("kind", "to", "now"),
    "fee": ("sort",),
    "fee.total": ("sort", "fee"),
    "fee.gas": ("sort", "gas"),
    "purpose": ("purpose",),
}
# What no rule can allow, by the choices on which it depends.
BARS: dict[tuple[Axis, ...], frozenset[Reason]] = {
    ("who", "wallet", "kind"): frozenset({Reason.NOT_ELIGIBLE}),
    ("deed", "read"): frozenset({Reason.UNLIMITED_ALLOWANCE, Reason.ACTION_MISMATCH}),
    ("kind", "to", "now"): frozenset({Reason.ENTRY_SUSPENDED}),
}
ORDER = ("who", "wallet", "path", "deed", "to", "now", "fee", "gas", "purpose")


class Wondered:
    """A test as a property asks it: as a rule would, but what an operation cannot have does not fit."""

    def __init__(self, test: Test) -> None:
        self._asked = Asked(test, permit=False)

    def on(self, view: View) -> int:
        """FALSE, UNKNOWN or TRUE for what a view shows."""
        if view.see(self._asked.field).state is State.NONE:
            return FALSE
        return self._asked.on(view)


class Tables:
    """The answers under one workspace.

    Kinds are deeds that differ in their amounts alone. Sorts are kinds of which all that is not about what is done says
    the same: on one chain, with or without a counterparty, about keys or not, as a message or as a transaction.

    The same bytes are read at an account whose methods are known, and at others nobody can tell what they move. So all
    that is moved depends on the deed and on ``read``: 0 where it is done to somebody where it can be read, 1 elsewhere.
    """

    def __init__(self, workspace: Workspace, choices: Universe) -> None:
        self.workspace, self.choices = workspace, choices
        self.index = index_of(workspace)
        self.kinds = _kinds(choices.deed)
        self.sorts = _sorts(choices.deed, self.kinds)
        self.seen = {name: at for at, name in enumerate(_names(choices))}
        tests = [test for rule in workspace.rules for test in rule.when]
        self._arguments = complete([workspace], tests)
        self._done: dict[tuple[Deed, bytes], tuple[Operation, ...]] = {}
        self._kind_of = {deed: kind for kind, deeds in enumerate(self.kinds) for deed in deeds}
        self._readers: dict[int, dict[int, int]] = {}
        self.pairs = {kind: self._partners(kind) for kind in range(len(self.kinds))}
        self._able = [self._willing(sort) for sort in self.sorts]

    def size(self, axis: Axis) -> int:
        """How many choices an axis has."""
        if axis == "kind":
            return len(self.kinds)
        if axis == "sort":
            return len(self.sorts)
        if axis == "read":
            return 2
        held = getattr(self.choices, axis) if axis in ORDER else self.choices.observed[self.seen[axis]]
        return len(held)

    def axes(self, test: Test) -> tuple[Axis, ...] | None:
        """On which choices a test's answer depends; None if they do not tell."""
        family = test.field.partition(".")[0]
        if family in OBSERVED:
            return (test.field,) if test.field in self.seen else None
        if test.field == "destination.lookalike" and any(int(value) > ALIKE for value in test.values):
            return None  # accounts that are unlike all others are not made up distance by distance
        if test.operator is Operator.STARTS and not _enumerable(test):
            return None
        if test.field == "depth" or (family == "args" and not (self._arguments and test.field[5:].isdecimal())):
            return None
        axes = _AXES.get(test.field) or _AXES.get(family)
        if test.field == "destination.type" and OWN_ACCOUNT in self.seen and axes:
            return (*axes, OWN_ACCOUNT)
        return axes

    def vague(self, test: Test, kind: int) -> bool:
        """Whether tokens may move by another method than the plain one, calls inside of others be of any, and typed
        data say something else."""
        deed = self.choices.deed[self.kinds[kind][0]]
        if deed.inside and test.field == "method" and not deed.asset and not _commands(test):
            return False
        many = deed.inside or deed.action in MOVES | {Action.TYPED_MESSAGE}
        return bool(many) and (test.field in {"method", "selector"} or test.field.startswith("args."))

    def cells(self, axes: tuple[Axis, ...]) -> Iterator[Cell]:
        """All combinations of choices on these axes that make an order."""
        for cell in product(*(range(self.size(axis)) for axis in axes)):
            if "to" in axes:
                first, to = cell[0], cell[1]
                if to not in (self.pairs[first] if axes[0] == "kind" else self._able[first]):
                    continue
            yield cell

    def answers(
        self, asked: Sequence[Asked | Wondered], axes: tuple[Axis, ...], paid: bool = False
    ) -> list[dict[Cell, Truth]]:
        """What the engine says to each test for each cell: of the operation, or of what is ``paid`` as fee."""
        made: list[dict[Cell, Truth]] = [{} for _ in asked]
        for cell in self.cells(axes):
            order = self.example(dict(zip(axes, cell, strict=True)))
            operation = self.operation(order) if order else None
            if order is None or operation is None:
                continue
            observed = {one.name: [one] for one in order.observed}
            view = view_of_operation(self.index, order.now, order.subject, 0, operation, observed)
            if paid:
                if (fee := fee_of(self.index.assets, order.subject)) is None:
                    continue
                view = view_of_fee(self.index, order.now, order.subject, view, fee)
            for one, held in zip(asked, made, strict=True):
                held[cell] = Truth(one.on(view))
        return made

    def open(self, hours: Hours) -> list[Truth]:
        """For each time."""
        return [open_at(hours, now) for now in self.choices.now]

    def in_force(self, rule: Rule) -> list[bool]:
        """For each time."""
        starts, ends = rule.starts, rule.ends
        return [rule.enabled and now >= starts and not (ends and now >= ends) for now in self.choices.now]

    def operation(self, order: Order) -> Operation | None:
        """The outermost operation of an order, from its bytes; None if there is none, or it is not what was meant."""
        made = self.operations(order)
        return made[0] if made else None

    def operations(self, order: Order) -> tuple[Operation, ...]:
        """All operations of an order whose first is what was meant."""
        key = (order.deed, order.to)
        if key not in self._done:
            self._done[key] = self._derived(order)
        return self._done[key]

    def _derived(self, order: Order) -> tuple[Operation, ...]:
        deed = order.deed
        if deed.inside or "/erc721:" in deed.asset or "/erc1155:" in deed.asset:
            return (_made(order),) if self._movable(deed) else ()
        try:
            made = operations_of(order.subject, self.workspace)
        except CountersealError:
            return ()
        meant = made and made[0].action is deed.action and (not order.to or made[0].counterparty == order.to)
        return made if meant else ()

    def _movable(self, deed: Deed) -> bool:
        """Whether what is moved is registered, as all has to be but the chain's coin."""
        return deed.asset in {"", native_asset(deed.chain)} or deed.asset in self.index.assets

    def sends(self, sort: list[int]) -> bool:
        """Whether these are transactions, which pay a fee."""
        return self.choices.deed[self.kinds[sort[0]][0]].action not in KEYS | SILENT

    def carried(self) -> list[int]:
        """Deeds that may be inside of others: what is sent on chains where such can pass."""
        nesting = {chain for chain in {one.chain for one in self.choices.deed} if nests([self.workspace], chain)}
        return [at for at, one in enumerate(self.choices.deed) if one.chain in nesting and one.action not in SILENT]

    def signed(self) -> list[int]:
        """Deeds that may be done without a transaction of the order's own, and so without gas."""
        return [
            at
            for at, one in enumerate(self.choices.deed)
            if one.action in KEYS | SILENT or one.inside or (one.action in MOVES and "/erc" in one.asset)
        ]

    def opaque(self, kind: int, to: int) -> bool:
        """Whether nobody can read what is done."""
        order = self.example({"kind": kind, "to": to})
        operation = self.operation(order) if order else None
        return operation is not None and operation.opaque

    def unread(self) -> list[Cell]:
        """What nobody can read, and to whom it is done: cells of ("kind", "to")."""
        pairs = ((kind, to) for kind, partners in self.pairs.items() for to in sorted(partners))
        return [(kind, to) for kind, to in pairs if self.opaque(kind, to)]

    def barred(self, axes: tuple[Axis, ...]) -> list[Cell]:
        """Cells in which something stands against an order that no rule can allow: such as depends on these axes."""
        found = []
        for cell in self.cells(axes):
            order = self.example(dict(zip(axes, cell, strict=True)))
            operation = self.operation(order) if order else None
            if order is None or operation is None:
                continue
            initiator = self.index.users.get(order.initiator)
            if initiator is None:
                against = {Reason.NOT_ELIGIBLE}  # a stranger proposes nothing
            else:
                objections = broken(self.index, order.subject, initiator, [operation], order.now)
                against = {one.reason for one in objections}
            if against & BARS[axes]:
                found.append(cell)
        return found

    def _partners(self, kind: int) -> frozenset[int]:
        """To whom this can be done."""
        found = []
        for to in range(len(self.choices.to)):
            order = self.example({"kind": kind, "to": to})
            if order is not None and self.operation(order) is not None:
                found.append(to)
        return frozenset(found)

    def example(self, chosen: Mapping[Axis, int]) -> Order | None:
        """An order with these choices, and the first that fit of all others."""
        if "sort" in chosen:
            chosen = {**chosen, "kind": self._one_of(self.sorts[chosen["sort"]], chosen.get("to"))}
        deed = chosen.get("deed", self.kinds[chosen["kind"]][0] if "kind" in chosen else 0)
        to = self._read(deed, chosen["read"]) if "read" in chosen else chosen.get("to", self._first(deed))
        if to is None:
            return None
        rest = {"deed": deed, "to": to}
        places = [rest.get(axis, chosen.get(axis, 0)) for axis in ORDER]
        places += [chosen.get(name, 0) for name in self.seen]
        return self.choices.order(places)

    def _read(self, deed: int, unreadable: int) -> int | None:
        """Somebody to whom a deed can be done so that it can be read, or not."""
        if deed not in self._readers:
            kind = self._kind_of[deed]
            partners = ((int(self.opaque(kind, to)), to) for to in sorted(self.pairs[kind], reverse=True))
            self._readers[deed] = dict(partners)
        return self._readers[deed].get(unreadable)

    def _willing(self, sort: list[int]) -> frozenset[int]:
        return frozenset(to for kind in sort for to in self.pairs[kind])

    def _one_of(self, sort: list[int], to: int | None) -> int:
        """A kind that can be done to this one, or to anybody."""
        return next(kind for kind in sort if (to in self.pairs[kind] if to is not None else self.pairs[kind]))

    def _first(self, deed: int) -> int | None:
        """Somebody to whom a deed can be done."""
        what = self.choices.deed[deed]
        for to, (chain, account) in enumerate(self.choices.to):
            if (what.action in WITHOUT_DESTINATION) is not bool(account) and chain in {"", what.chain}:
                order = self.choices.order([0, 0, 0, deed, to, 0, 0, 0, 0, *(0 for _ in self.seen)])
                if order is not None and self.operation(order) is not None:
                    return to
        return None


def _kinds(deeds: tuple[Deed, ...]) -> list[list[int]]:
    """Deeds by all but their amounts."""
    held: dict[tuple[object, ...], list[int]] = {}
    for at, deed in enumerate(deeds):
        held.setdefault((deed.action, deed.chain, deed.asset, deed.data, deed.inside), []).append(at)
    return list(held.values())


def _sorts(deeds: tuple[Deed, ...], kinds: list[list[int]]) -> list[list[int]]:
    held: dict[tuple[object, ...], list[int]] = {}
    for at, kind in enumerate(kinds):
        deed = deeds[kind[0]]
        silent = deed.action in SILENT
        key = (deed.action in KEYS, silent, deed.action in WITHOUT_DESTINATION, deed.chain)
        held.setdefault(key, []).append(at)
    return list(held.values())


def _commands(test: Test) -> bool:
    """Whether a test on a method may tell some of those apart that `COMMANDS` are."""
    return test.operator is Operator.STARTS or not COMMANDS.isdisjoint(map(str, test.values))


def _enumerable(test: Test) -> bool:
    """Whether there are choices that begin as a test asks: no account is made up so, and paths but by whole steps."""
    if test.field == "source.path":
        return all(re.fullmatch(r"m/(?:[0-9]+/)*", str(value)) for value in test.values)
    return test.field != "destination.address"


def _names(choices: Universe) -> list[str]:
    return [next(one.name for one in values if one is not None) for values in choices.observed]


def _made(order: Order) -> Operation:
    """What no order does by an action of its own: calls inside of others; and tokens that are no sum, which move by
    calls whose counterparty stands in their arguments."""
    deed = order.deed
    target = deed.inside if deed.action is Action.CALL else order.to
    if not deed.inside:
        target = parse_address(deed.asset.rpartition(":")[2])
    method = min(COMMANDS) if deed.action is Action.CALL else ""
    return Operation(
        deed.action, deed.chain, target, order.to, deed.asset, deed.amount, False, 0, method, (), 0, False, False
    )
