"""The sentences an operator may write. Four kinds, order-independent: DENY, LIMIT, REQUIRE, PERMIT.

A rule is a conjunction of tests over named fields (`oms_core.policy.fields`). Adding a DENY, LIMIT or REQUIRE can only
tighten; adding a PERMIT can only loosen. An order consists of operations (`oms_core.chains.operations`): DENY, LIMIT
and REQUIRE apply if any of them fits or may fit; every one of them has to fit some PERMIT for certain.
"""

from __future__ import annotations

from enum import StrEnum

from oms_core.encoding import document

ANY = "*"
DAY = 86_400  # seconds


class Action(StrEnum):
    """What kind of thing is done; derived from bytes, never from what an order claims to be."""

    TRANSFER = "TRANSFER"
    CALL = "CALL"
    APPROVE = "APPROVE"
    MESSAGE = "MESSAGE"
    TYPED_MESSAGE = "TYPED_MESSAGE"
    DEPLOY = "DEPLOY"
    KEY_CREATE = "KEY_CREATE"
    KEY_CHANGE = "KEY_CHANGE"
    KEY_SUSPEND = "KEY_SUSPEND"


class Kind(StrEnum):
    """What a rule does if it applies."""

    DENY = "DENY"
    LIMIT = "LIMIT"
    REQUIRE = "REQUIRE"
    PERMIT = "PERMIT"


class Operator(StrEnum):
    """How a field is compared. IS and IS_NOT take any of several values; the others take one integer.

    STARTS takes text: the field begins with it.
    """

    IS = "IS"
    IS_NOT = "IS_NOT"
    ABOVE = "ABOVE"
    AT_LEAST = "AT_LEAST"
    BELOW = "BELOW"
    AT_MOST = "AT_MOST"
    STARTS = "STARTS"


class Per(StrEnum):
    """What a limit counts apart: with INITIATOR, each initiator has the whole limit to herself."""

    INITIATOR = "INITIATOR"
    SOURCE = "SOURCE"
    DESTINATION = "DESTINATION"
    ASSET = "ASSET"
    PROTOCOL = "PROTOCOL"


class Unit(StrEnum):
    """What a limit counts: base units of the asset, micro-USD, or operations."""

    BASE = "BASE"
    USD = "USD"
    COUNT = "COUNT"


class Calendar(StrEnum):
    """A window that begins at midnight of a day, of a Monday, or of the first of a month, in the limit's zone."""

    DAY = "DAY"
    WEEK = "WEEK"
    MONTH = "MONTH"


@document("zone/1")
class Zone:
    """An IANA time zone as it was known when the rule was written: (Unix second from which, minutes east of UTC).

    Ascending. Before the first and from ``known_until`` on, the local time is unknown. So all nodes agree on it.
    """

    name: str
    offsets: tuple[tuple[int, int], ...]
    known_until: int


@document("hours/1")
class Hours:
    """Local days (0 is Monday) and minutes of the day [``opens``, ``closes``), without the ``closed`` dates.

    Dates are days since 1970-01-01.
    """

    zone: Zone
    days: tuple[int, ...]
    opens: int
    closes: int
    closed: tuple[int, ...]


@document("test/1")
class Test:
    """One condition: a field, how it is compared, and with what."""

    field: str
    operator: Operator
    values: tuple[int | str, ...]


@document("cap/1")
class Cap:
    """At most ``maximum`` of ``unit``: in one order if ``seconds`` is 0 and there is no calendar, else within a window.

    A rolling window has ``seconds``; a calendar one ``calendar`` and its ``zone``.
    """

    unit: Unit
    maximum: int
    seconds: int
    calendar: Calendar | None
    zone: Zone | None
    per: tuple[Per, ...]


@document("quorum/1")
class Quorum:
    """``threshold`` distinct people out of these users, groups or roles, other than the initiator.

    With ``distinct_teams`` or ``distinct_sites`` no two of them from one team or site; with ``device_bound`` only by
    credentials that cannot leave their device.
    """

    threshold: int
    users: tuple[str, ...]
    groups: tuple[str, ...]
    roles: tuple[str, ...]
    distinct_teams: bool
    distinct_sites: bool
    device_bound: bool


@document("requirement/1")
class Requirement:
    """People to be asked: all of ``all_of``, and one of ``any_of`` unless that is empty.

    A person counts in one quorum only, unless ``overlap``. Approvals older than ``expires_in`` seconds do not count
    (0: as long as they say themselves). ``delay`` seconds pass between the proposal and the signature. ``cosigners``
    have to be among those who sign, or of a key among those who make it, deal it or get it; a key's state each changes
    for itself.
    """

    all_of: tuple[Quorum, ...]
    any_of: tuple[Quorum, ...]
    overlap: bool
    expires_in: int
    delay: int
    cosigners: tuple[int, ...]


@document("rule/1")
class Rule:
    """One sentence. All of ``when`` and, if there are any, ``during`` have to hold for it to apply.

    ``caps`` belong to a LIMIT, ``requirement`` to a REQUIRE; others have none. ``starts`` and ``ends`` are Unix
    seconds between which the rule exists, 0 for open ends.
    """

    rule_id: str
    kind: Kind
    description: str
    owner: str
    when: tuple[Test, ...]
    during: Hours | None
    caps: tuple[Cap, ...]
    requirement: Requirement | None
    enabled: bool
    starts: int
    ends: int


def opens_unreadable(rule: Rule) -> bool:
    """Whether a rule asks for what nobody can read and for nothing else; only such a PERMIT permits that."""
    return any((one.field, one.operator, one.values) == ("opaque", Operator.IS, (1,)) for one in rule.when)
