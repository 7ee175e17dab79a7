"""The fewest people who, all approving, are what several requirements ask for: an exact search, the same every time.

A set that does not satisfy a requirement can only come to do so by somebody more whom one of its quorums takes. So the
search goes from each set to those, cheapest first; people who are in the same quorums, of the same team and site, are
interchangeable, and only the first of them by name is tried.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass

from oms_core.policy.decision import Given
from oms_core.policy.require import Asking, needs
from oms_core.policy.rules import Quorum, Requirement
from oms_core.workspace import Assurance, User

BUDGET = 20_000  # sets that are looked at


class Undecided(Exception):
    """The search was ended before it was through: nothing is known."""


@dataclass(frozen=True, slots=True)
class Fewest:
    """How much it takes at least, by what each person counts, and one set of people, sorted, that suffices."""

    cost: int
    people: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Electorate:
    """Who can approve: people with their users, whom a quorum takes (user ids), and whether people are enough."""

    users: Mapping[str, tuple[User, ...]]
    eligible: Callable[[Quorum], frozenset[str]]
    satisfied: Callable[[Requirement, tuple[User, ...]], bool]

    def enough(self, requirement: Requirement, people: Iterable[str]) -> bool:
        """Whether these people, with all users that they have, are what is required."""
        return self.satisfied(requirement, tuple(one for person in sorted(people) for one in self.users[person]))


def by_person(users: Iterable[User]) -> dict[str, tuple[User, ...]]:
    """People and their users."""
    held: dict[str, tuple[User, ...]] = {}
    for one in users:
        held[one.person_id] = (*held.get(one.person_id, ()), one)
    return held


def electorate(asking: Asking) -> Electorate:
    """Those who are asked about an order, judged by what judges the order. Delays and expiries are left out."""

    def eligible(quorum: Quorum) -> frozenset[str]:
        return frozenset(one.user_id for one in asking.eligible(quorum))

    def satisfied(requirement: Requirement, users: tuple[User, ...]) -> bool:
        given = [Given(one.user_id, _best(one), 0) for one in users]
        plain = Requirement(requirement.all_of, requirement.any_of, requirement.overlap, 0, 0, ())
        return not any(need.missing for need in needs("", plain, asking, given, 0))

    return Electorate(by_person(asking.index.workspace.users), eligible, satisfied)


def _best(one: User) -> Assurance:
    keys = [key.assurance for key in one.credentials if not key.revoked]
    return Assurance.DEVICE_BOUND if Assurance.DEVICE_BOUND in keys else Assurance.SYNCED


def one_each(_person: str) -> int:
    """Everybody counts."""
    return 1


def fewest(
    requirements: Iterable[Requirement],
    who: Electorate,
    counts: Callable[[str], int] = one_each,
    budget: int = BUDGET,
) -> Fewest | None:
    """The cheapest set of people, None if all of them together are not enough. Raises `Undecided`.

    ``counts`` tells what a person (by ``person_id``) costs, 0 or more; whoever costs nothing is there from the start.
    """
    asked = tuple(dict.fromkeys(requirements))
    quorums = tuple(dict.fromkeys(quorum for one in asked for quorum in (*one.all_of, *one.any_of)))
    able = {quorum: who.eligible(quorum) for quorum in quorums}
    kinds = {person: _kind(users, quorums, able, counts(person)) for person, users in who.users.items()}
    people = sorted(person for person in kinds if any(map(any, (row[0] for row in kinds[person][0]))))
    if not all(who.enough(one, people) for one in asked):
        return None
    free = frozenset(person for person in people if counts(person) == 0)
    seen = {free}
    heap: list[tuple[int, tuple[str, ...]]] = [(0, tuple(sorted(free)))]
    while heap:
        cost, names = heapq.heappop(heap)
        unmet = next((one for one in asked if not who.enough(one, names)), None)
        if unmet is None:
            return Fewest(cost, tuple(person for person in names if person not in free))
        wanted = frozenset(name for quorum in (*unmet.all_of, *unmet.any_of) for name in able[quorum])
        first: dict[Hashable, str] = {}
        for person in people:
            if person not in names and any(one.user_id in wanted for one in who.users[person]):
                first.setdefault(kinds[person], person)
        for person in first.values():
            more = frozenset({*names, person})
            if more not in seen:
                seen.add(more)
                heapq.heappush(heap, (cost + counts(person), tuple(sorted(more))))
        if len(seen) > budget:
            raise Undecided(f"more than {budget} sets of people")
    raise Undecided("what all of them together satisfy was not found again")


_Kind = tuple[tuple[tuple[tuple[bool, ...], str, str], ...], int]


def _kind(
    users: tuple[User, ...], quorums: tuple[Quorum, ...], able: Mapping[Quorum, frozenset[str]], cost: int
) -> _Kind:
    """All that any quorum can tell of a person, and what she costs: who is alike in it is interchangeable."""
    rows = ((tuple(one.user_id in able[quorum] for quorum in quorums), one.team, one.site) for one in users)
    return tuple(sorted(rows)), cost
