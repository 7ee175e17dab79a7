"""Whose approval fills which seat of which quorum: as many seats as can be, found the same way on all nodes."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from oms_core.policy.rules import Quorum

MAX_STEPS = 20_000  # of a search among people who must differ in team and in site
_SOURCE, _SINK = ("source",), ("sink",)


@dataclass(frozen=True, slots=True)
class Candidate:
    """An approval that counts towards a quorum."""

    user_id: str
    person_id: str
    team: str
    site: str


def assign(
    quorums: Sequence[Quorum], candidates: Sequence[Sequence[Candidate]], overlap: bool
) -> list[tuple[str, ...]]:
    """User ids for each quorum, at most its threshold. All thresholds are reached if they can be.

    A person fills one seat, or with ``overlap`` one in each quorum. Teams and sites differ where a quorum says so.
    Where both have to, which is a hard problem in general, the search is bounded: what is not found is not there.
    """
    if overlap and len(quorums) > 1:
        pairs = zip(quorums, candidates, strict=True)
        return [names for one, its in pairs for names in assign([one], [its], overlap=False)]
    if any(quorum.distinct_teams and quorum.distinct_sites for quorum in quorums):
        return _Search(quorums, candidates).best
    return _flow(quorums, candidates)


def _flow(quorums: Sequence[Quorum], candidates: Sequence[Sequence[Candidate]]) -> list[tuple[str, ...]]:
    """A maximum flow: from quorums through teams or sites (one person each, where they have to differ) to people."""
    room: dict[Hashable, dict[Hashable, int]] = {_SINK: {}}
    for at, (quorum, its) in enumerate(zip(quorums, candidates, strict=True)):
        _edge(room, _SOURCE, ("quorum", at), quorum.threshold)
        for one in sorted(its, key=lambda candidate: candidate.user_id):
            group = one.team if quorum.distinct_teams else one.site if quorum.distinct_sites else one.user_id
            _edge(room, ("quorum", at), ("group", at, group), 1)
            _edge(room, ("group", at, group), ("user", at, one.user_id), 1)
            _edge(room, ("user", at, one.user_id), ("person", one.person_id), 1)
            _edge(room, ("person", one.person_id), _SINK, 1)
    while _augment(room, _SOURCE, {_SOURCE}):
        pass
    return [
        tuple(sorted(one.user_id for one in {c.user_id: c for c in its}.values()
                     if not room[("user", at, one.user_id)][("person", one.person_id)]))
        for at, its in enumerate(candidates)
    ]  # fmt: skip


def _edge(room: dict[Hashable, dict[Hashable, int]], start: Hashable, end: Hashable, capacity: int) -> None:
    room.setdefault(start, {}).setdefault(end, capacity)
    room.setdefault(end, {}).setdefault(start, 0)


def _augment(room: dict[Hashable, dict[Hashable, int]], at: Hashable, seen: set[Hashable]) -> bool:
    """Send one more unit from here to the sink, if there is a way."""
    if at == _SINK:
        return True
    for following, capacity in room.get(at, {}).items():
        if capacity and following not in seen:
            seen.add(following)
            if _augment(room, following, seen):
                room[at][following] -= 1
                room[following][at] += 1
                return True
    return False


class _Search:
    """All seats one after the other, with a bound on the steps; keeps the assignment that fills most seats."""

    def __init__(self, quorums: Sequence[Quorum], candidates: Sequence[Sequence[Candidate]]) -> None:
        self._quorums = quorums
        self._candidates = [sorted(its, key=lambda candidate: candidate.user_id) for its in candidates]
        self._chosen: list[list[Candidate]] = [[] for _ in quorums]
        self._left = MAX_STEPS
        self.best: list[tuple[str, ...]] = [() for _ in quorums]
        self._fill(0, 0)

    def _fill(self, at: int, start: int) -> bool:
        """Whether all seats from this quorum on could be filled, its next candidates being those from ``start``."""
        self._left -= 1
        if sum(map(len, self._chosen)) > sum(map(len, self.best)):
            self.best = [tuple(one.user_id for one in chosen) for chosen in self._chosen]
        if at == len(self._quorums):
            return True
        if len(self._chosen[at]) >= self._quorums[at].threshold:
            return self._fill(at + 1, 0)
        for place in range(start, len(self._candidates[at])):
            one = self._candidates[at][place]
            if self._left > 0 and self._fits(at, one):
                self._chosen[at].append(one)
                if self._fill(at, place + 1):
                    return True
                self._chosen[at].pop()
        return False

    def _fits(self, at: int, one: Candidate) -> bool:
        quorum, chosen = self._quorums[at], self._chosen[at]
        if any(one.person_id == other.person_id for others in self._chosen for other in others):
            return False
        same_team = quorum.distinct_teams and any(one.team == other.team for other in chosen)
        return not same_team and not (quorum.distinct_sites and any(one.site == other.site for other in chosen))
