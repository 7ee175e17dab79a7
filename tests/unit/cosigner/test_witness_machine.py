"""Whatever is done to a node and its disk: what it has cosigned is one tree that only grows, or it cosigns nothing."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from cosigner.witness import Witnessed
from oms_core.errors import Reason, Refused
from oms_core.log.witness import Answer
from tests.folders import lasting
from tests.unit.cosigner.following import Follower, bare_note, request
from tests.unit.cosigner.node import Node, make_node
from tests.witnessed import Logbook

T = TypeVar("T")
STOPS = {Reason.LOG_FORKED, Reason.ROLLBACK_DETECTED}


@cache
def blank() -> Node:
    return make_node(lasting("cs-witness-"))


class Witnesses(RuleBasedStateMachine):
    """One node, a log, forks of it, and copies of the node's disk. ``cosigned`` holds all that it has ever cosigned."""

    @initialize()
    def begins(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="cs-witness-"))
        self.node = blank().copy(self.root / "node").boot()
        self.follower = Follower(self.node)
        self.log, self.fork = self.follower.log, self.follower.log.fork()
        self.cosigned: list[tuple[int, Logbook]] = []
        self.copies: list[Node] = []

    def teardown(self) -> None:
        if hasattr(self, "node"):
            self.node.stop()
            shutil.rmtree(self.root)

    def attempt(self, ask: Callable[[], T]) -> T | None:
        """What a node that stands still says, it says for a reason."""
        try:
            return ask()
        except Refused as error:
            if error.reason not in STOPS:
                raise
            return None

    def keep(self, said: Witnessed | None, log: Logbook) -> None:
        if said is not None and said.answer is Answer.OK:
            self.follower.time(said, log)
            self.cosigned.append((said.size, log))
        elif said is not None:
            assert said.line == ""

    @rule(count=st.integers(1, 300))
    def appends(self, count: int) -> None:
        for _ in range(count):
            self.log.add("order.reading", "", at=self.follower.now)

    @rule(common=st.integers(0, 400), count=st.integers(1, 5))
    def forks(self, common: int, count: int) -> None:
        self.fork = self.log.fork(min(common, self.log.size))
        for _ in range(count):
            self.fork.add("order.refusal", "", at=self.follower.now)

    @rule(seconds=st.integers(0, 50))
    def waits(self, seconds: int) -> None:
        self.follower.now += seconds

    @rule(step=st.integers(0, 400), other=st.booleans())
    def asks(self, step: int, other: bool) -> None:
        log, size = (self.fork if other else self.log), self.follower.head.size
        if size <= log.size:
            new = min(log.size, size + step)
            self.keep(self.attempt(lambda: self.follower.ask(new, log=log)), log)

    @rule(old=st.integers(0, 500), new=st.integers(0, 500), other=st.booleans())
    def asks_anything(self, old: int, new: int, other: bool) -> None:
        log = self.fork if other else self.log
        old, new = min(old, log.size), min(new, log.size)
        items = log.items[old:new]
        said = self.attempt(lambda: self.follower.witness.follow(request(log, old, new), items, self.follower.now))
        self.keep(said, log)

    @rule(first=st.integers(0, 20), second=st.integers(0, 20), third=st.integers(0, 20))
    def asks_at_once(self, first: int, second: int, third: int) -> None:
        size = self.follower.head.size
        if size > self.log.size:
            return
        asked = [min(self.log.size, size + step) for step in (first, second, third)]

        def ask(new: int) -> Witnessed | None:
            text, items = request(self.log, size, new), self.log.items[size:new]
            return self.attempt(lambda: self.follower.witness.follow(text, items, self.follower.now))

        with ThreadPoolExecutor(3) as threads:
            answers = list(threads.map(ask, asked))
        for said in sorted((one for one in answers if one is not None), key=lambda one: one.size):
            self.keep(said, self.log)

    @rule(size=st.integers(0, 500), other=st.booleans())
    def gossips(self, size: int, other: bool) -> None:
        log = self.fork if other else self.log
        note = bare_note(log, min(size, log.size))
        self.attempt(lambda: self.follower.witness.gossip([note], self.follower.now))

    @rule()
    def restarts(self) -> None:
        self.follower.restart()

    @rule()
    def copies_its_disk(self) -> None:
        self.node.stop()
        self.copies.append(self.node.copy(self.root / f"copy-{len(self.copies)}"))
        self.node.boot()
        self.follower.opened()

    @precondition(lambda self: self.copies)
    @rule(which=st.integers(0, 100))
    def puts_its_store_back(self, which: int) -> None:
        self.node.stop()
        self.node.take(self.copies[which % len(self.copies)], store=True)
        self.node.boot()
        assert self.node.boots.rolled_back
        self.follower.opened()

    @rule()
    def is_reconciled(self) -> None:
        if self.node.boots.suspicion():
            self.node.boots.reconcile(self.follower.now)
            self.follower.restart()

    @invariant()
    def sizes_never_fall_and_all_is_one_tree(self) -> None:
        if not hasattr(self, "node"):
            return
        sizes = [size for size, _ in self.cosigned]
        assert sizes == sorted(sizes)
        if self.cosigned:
            largest, tree = self.cosigned[-1]
            assert self.node.token.counters().size >= largest
            assert all(tree.tree.root(size) == log.tree.root(size) for size, log in self.cosigned)


TestWitnesses = Witnesses.TestCase
TestWitnesses.settings = settings(
    max_examples=15, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
