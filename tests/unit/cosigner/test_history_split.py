"""However a lying coordinator divides orders among logs and nodes, a windowed limit is not exceeded by what they sign.

Of five nodes two lie with it. It may show each honest node a log of its own that only grows; four witnesses,
two of them the liars, vouch for a log that two honest nodes follow, and three for one that a single one does.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from cosigner.history import History
from cosigner.store import open_store
from oms_core.authorize import authorize, execution_digest
from oms_core.chains.intent import Execution, subject_digest
from oms_core.errors import CountersealError, Reason
from oms_core.evidence import SignRequest
from oms_core.log.quorum import degraded, faults, full, share
from oms_core.policy.limits import YEAR
from tests.people import EXECUTION, NOW, approve, intent, sign_request, workspace
from tests.witnessed import Logbook

N = 5
LIARS = faults(N)
HONEST = tuple(range(LIARS + 1, N + 1))
LIMIT = 2000  # a day; 1000 in one order
AMOUNTS = (90, 300, 500, 666, 900)


@cache
def order(number: int) -> SignRequest:
    """One of many, of which people have approved the exact bytes."""
    subject = intent(AMOUNTS[number % len(AMOUNTS)], intent_id=f"int_{number}")
    execution = Execution(EXECUTION.type, number, 21_000, EXECUTION.max_fee_per_gas, 1, ())
    bound = execution_digest(execution)
    return sign_request(
        subject, *(approve(subject, name, execution=bound) for name in ("ravi", "olga")), execution=execution
    )


@dataclass
class Node:
    """An honest one: the log that it follows, and what it has given its share for."""

    store: Engine
    log: Logbook
    size: int = 0
    signed: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.history = History()

    def follow(self) -> None:
        with self.store.begin() as connection:
            for entry, one in self.log.after(self.size):
                self.history.fold(connection, entry, one)
        self.size = self.log.size

    def asked(self, number: int, witnesses: int) -> Reason | None:
        """As the guard, with this many cosignatures."""
        request = order(number)
        subject = subject_digest(request.proposal.subject)
        self.follow()
        if witnesses < degraded(N):
            return Reason.NOT_LOGGED
        with self.store.begin() as connection:
            if self.history.authorized(connection, subject) is None:
                return Reason.NOT_LOGGED
            part = 1 if witnesses >= full(N) else share(N)
            facts = self.history.facts(connection, subject, NOW, YEAR, part)
        try:
            authorize(request, workspace(), facts)
        except CountersealError as error:
            return error.reason
        self.signed.add(number)
        return None


@contextmanager
def nodes(groups: tuple[int, ...], common: int) -> Iterator[dict[int, Node]]:
    """Honest nodes, each in its group; all logs begin with the same orders. Each group follows a fork of its own."""
    with tempfile.TemporaryDirectory() as folder:
        start = Logbook()
        for number in range(common):
            start.authorize(order(number))
        forks = {group: start.fork() for group in groups}
        made = {}
        for index, group in zip(HONEST, groups, strict=True):
            store = open_store(Path(folder) / f"{index}.sqlite")
            made[index] = Node(store, forks[group])
        yield made
        for one in made.values():
            one.store.dispose()


steps = st.lists(st.tuples(st.sampled_from(HONEST), st.integers(0, 11), st.booleans()), min_size=1, max_size=24)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(
    groups=st.tuples(*(st.integers(0, 2) for _ in HONEST)),
    common=st.integers(0, 4),
    asks=steps,
)
def test_no_interleaving_of_logged_orders_at_any_nodes_exceeds_a_windowed_limit_by_more_than_the_paper_says(
    groups: tuple[int, ...], common: int, asks: list[tuple[int, int, bool]]
) -> None:
    """The whole on one log, or a third at each of three; at most the whole on one and a third on another."""
    assert (N - LIARS) // (degraded(N) - LIARS) == share(N) == 3
    with nodes(groups, common) as honest:
        for index, number, log_first in asks:
            node = honest[index]
            if log_first or number >= common:
                node.log.authorize(order(number))
            company = [other for other, one in honest.items() if one.log is node.log]
            node.asked(number, LIARS + len(company))
        signed = {number for node in honest.values() for number in node.signed}
        spent = sum(AMOUNTS[number % len(AMOUNTS)] for number in signed)
        alone = sum(1 for group in set(groups) if groups.count(group) == 1)
        whole = sum(1 for group in set(groups) if groups.count(group) > 1)
        assert spent <= whole * LIMIT + alone * (LIMIT // share(N))
        assert whole <= 1
        assert spent <= LIMIT + LIMIT // share(N)


def test_the_property_is_about_something() -> None:
    """Three forks sign three thirds of different orders; one log signs the whole."""
    with nodes((0, 1, 2), 0) as apart:
        for place, index in enumerate(HONEST):
            for number in (place * 5 + 3, 11 - place):  # 666, and something more
                apart[index].log.authorize(order(number))
                apart[index].asked(number, LIARS + 1)
        assert sorted(number for node in apart.values() for number in node.signed) == [3, 8, 13]
    with nodes((0, 0, 0), 0) as together:
        reasons = []
        for number in (4, 9, 14):
            together[HONEST[0]].log.authorize(order(number))
            reasons.append(together[HONEST[number % 3]].asked(number, N))
        assert reasons == [None, None, Reason.VELOCITY_EXCEEDED]
