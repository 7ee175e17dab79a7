"""Which people count for which quorum: exactly, with no person in two places.

A search over kinds of people: whoever is in the same quorums, of the same team and site, is interchangeable. What is
not found within the budget counts as not there.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from oms_core.policy.rules import Quorum, Requirement
from oms_core.workspace import User, Workspace

_BUDGET = 50_000  # steps of the search

Slots = tuple[tuple[Quorum, int], ...]


@dataclass(frozen=True, slots=True)
class Voter:
    """A user who approves, or could: who she is, where she belongs, and what her key is."""

    user_id: str
    person_id: str
    team: str
    site: str
    groups: tuple[str, ...]
    roles: tuple[str, ...]
    device_bound: bool

    @classmethod
    def of(cls, workspace: Workspace, one: User, device_bound: bool) -> Voter:
        """A user, with the groups that she is in."""
        groups = tuple(group.group_id for group in workspace.groups if one.user_id in group.members)
        return cls(one.user_id, one.person_id, one.team, one.site, groups, one.roles, device_bound)

    def fits(self, quorum: Quorum) -> bool:
        """Whether she is among those whom the quorum names, with a key that it takes."""
        named = self.user_id in quorum.users or set(self.groups) & set(quorum.groups)
        return bool(named or set(self.roles) & set(quorum.roles)) and (self.device_bound or not quorum.device_bound)


def satisfied(requirement: Requirement, voters: tuple[Voter, ...]) -> bool:
    """Whether these people, all approving, are what is required."""
    for option in requirement.any_of or (None,):
        quorums = (*requirement.all_of, *((option,) if option else ()))
        slots = tuple((quorum, quorum.threshold) for quorum in quorums)
        if requirement.overlap:
            if all(can_fill((slot,), voters) for slot in slots):
                return True
        elif can_fill(slots, voters):
            return True
    return False


def can_fill(slots: Slots, voters: tuple[Voter, ...]) -> bool:
    """Whether each quorum can have so many of them, nobody in two, no person twice."""
    return _Search(slots, voters).found()


class _Search:
    def __init__(self, slots: Slots, voters: tuple[Voter, ...]) -> None:
        # The pickiest first: where the fewest people fit, a dead end shows soonest.
        fitting = [(slot, [voter for voter in voters if voter.fits(slot[0])]) for slot in slots]
        self._places = [
            (quorum, at)
            for at, ((quorum, count), _) in enumerate(sorted(fitting, key=lambda one: len(one[1]) - one[0][1]))
            for _ in range(count)
        ]
        self._kinds = self._classes(voters)
        self._taken: Counter[int] = Counter()
        self._people: set[str] = set()
        self._teams: set[tuple[int, str]] = set()
        self._sites: set[tuple[int, str]] = set()
        self._steps = 0

    def _classes(self, voters: tuple[Voter, ...]) -> list[tuple[Voter, list[str]]]:
        """People with one user each by kind; those with several users are each a kind of their own."""
        users = Counter(voter.person_id for voter in voters)
        kinds: dict[object, tuple[Voter, list[str]]] = {}
        quorums = dict.fromkeys(quorum for quorum, _ in self._places)
        for voter in voters:
            alone = users[voter.person_id] == 1
            fits = tuple(voter.fits(quorum) for quorum in quorums)
            key = (fits, voter.team, voter.site) if alone else voter.user_id
            kinds.setdefault(key, (voter, []))[1].append(voter.person_id)
        return list(kinds.values())

    def found(self, at: int = 0, first: int = 0) -> bool:
        """Fill the places from ``at`` on; equal places take kinds in ascending order, from ``first`` on."""
        if at == len(self._places):
            return True
        quorum, place = self._places[at]
        again = at + 1 < len(self._places) and self._places[at + 1][1] == place
        for number in range(first, len(self._kinds)):
            self._steps += 1
            if self._steps > _BUDGET:
                return False
            voter, people = self._kinds[number]
            if self._taken[number] == len(people) or not voter.fits(quorum):
                continue
            person = people[self._taken[number]]
            team, site = (place, voter.team), (place, voter.site)
            if person in self._people:
                continue
            if (quorum.distinct_teams and team in self._teams) or (quorum.distinct_sites and site in self._sites):
                continue
            fresh_team, fresh_site = team not in self._teams, site not in self._sites
            self._take(number, person, team, site)
            if self.found(at + 1, number if again else 0):
                return True
            self._give_back(number, person, team if fresh_team else None, site if fresh_site else None)
        return False

    def _take(self, number: int, person: str, team: tuple[int, str], site: tuple[int, str]) -> None:
        self._taken[number] += 1
        self._people.add(person)
        self._teams.add(team)
        self._sites.add(site)

    def _give_back(self, number: int, person: str, team: tuple[int, str] | None, site: tuple[int, str] | None) -> None:
        self._taken[number] -= 1
        self._people.discard(person)
        self._teams -= {team}
        self._sites -= {site}
