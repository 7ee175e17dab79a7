"""The fewest people who, all approving, are what several requirements ask for: an exact search, the same every time.

A set that does not satisfy a requirement can only come to do so by somebody more whom one of its quorums takes. So the
search goes from each set to those, cheapest first; people who are in the same quorums, of the same team and site, are
interchangeable, and only the first of them by name is tried.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from oms_core.policy.rules import Quorum, Requirement
from oms_core.workspace.assigning import Voter, satisfied

BUDGET = 20_000  # sets that are looked at


class Undecided(Exception):
    """The search was ended before it was through: nothing is known."""


@dataclass(frozen=True, slots=True)
class Fewest:
    """How much it takes at least, by what each person counts, and one set of people, sorted, that suffices."""

    cost: int
    people: tuple[str, ...]


def one_each(_person: str) -> int:
    """Everybody counts."""
    return 1


def fewest(
    requirements: Iterable[Requirement],
    voters: tuple[Voter, ...],
    counts: Callable[[str], int] = one_each,
    budget: int = BUDGET,
) -> Fewest | None:
    """The cheapest set of people, None if all of them together are not enough. Raises `Undecided`.

    ``counts`` tells what a person (by ``person_id``) costs, 0 or more; whoever costs nothing is there from the start.
    """
    asked = tuple(dict.fromkeys(requirements))
    people = sorted({voter.person_id for voter in voters})
    if not all(satisfied(one, voters) for one in asked):
        return None
    free = frozenset(person for person in people if counts(person) == 0)
    kinds = _kinds(asked, voters, counts)
    seen = {free}
    heap: list[tuple[int, tuple[str, ...]]] = [(0, tuple(sorted(free)))]
    while heap:
        cost, names = heapq.heappop(heap)
        here = frozenset(names)
        unmet = next((one for one in asked if not satisfied(one, _of(voters, here))), None)
        if unmet is None:
            return Fewest(cost, tuple(person for person in names if person not in free))
        for person in _next(unmet, voters, here, kinds):
            more = here | {person}
            if more not in seen:
                seen.add(more)
                heapq.heappush(heap, (cost + counts(person), tuple(sorted(more))))
        if len(seen) > budget:
            raise Undecided(f"more than {budget} sets of people")
    raise Undecided("what all of them together satisfy was not found again")


def _of(voters: tuple[Voter, ...], people: frozenset[str]) -> tuple[Voter, ...]:
    return tuple(voter for voter in voters if voter.person_id in people)


def _next(unmet: Requirement, voters: tuple[Voter, ...], here: frozenset[str], kinds: dict[str, object]) -> list[str]:
    """Whom to add: one of each kind whom the requirement takes somewhere."""
    quorums = (*unmet.all_of, *unmet.any_of)
    fitting = {v.person_id for v in voters if v.person_id not in here and any(v.fits(quorum) for quorum in quorums)}
    first: dict[object, str] = {}
    for person in sorted(fitting):
        first.setdefault(kinds[person], person)
    return list(first.values())


def _kinds(
    asked: tuple[Requirement, ...], voters: tuple[Voter, ...], counts: Callable[[str], int]
) -> dict[str, object]:
    """What makes people interchangeable: all that any quorum can tell of their users, and what they cost."""
    quorums: tuple[Quorum, ...] = tuple(q for one in asked for q in (*one.all_of, *one.any_of))
    told: dict[str, list[object]] = {}
    for voter in voters:
        fits = tuple(voter.fits(quorum) for quorum in quorums)
        told.setdefault(voter.person_id, []).append((fits, voter.team, voter.site))
    return {person: (tuple(sorted(map(repr, users))), counts(person)) for person, users in told.items()}
