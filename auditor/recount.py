"""What cosigners count from the whole log, counted again: approvals, limits over time, and that each counts once.

What nobody signed may have been too much: that is what cosigners are there for. So a request is weighed whenever the
log has it, and is wrong once an order was signed by it, or a key made: nodes take no other than the newest. Clocks
differ by a minute, and a session takes a while: what was permitted at any moment of that counts as permitted. Limits
are counted as with all witnesses there, and what rules say of time is as of the request's entry.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from auditor.report import must
from auditor.versions import Versions
from oms_core.authorize import authorize, look_back
from oms_core.chains.evm import decode_signed, signing_digest
from oms_core.chains.intent import CLOCK_SKEW, Proposal, subject_digest
from oms_core.encoding import decode
from oms_core.errors import CountersealError, Reason
from oms_core.evidence import ChangeRequest, SignRequest
from oms_core.history import (
    AUTHORIZED_FOR,
    Approved,
    Authorization,
    Began,
    counts_at,
    pressed_in,
    presses,
    read_effect,
    spends_in,
    worst,
)
from oms_core.log.entries import COUNTED, FORMERLY, MADE, NOW, RECORD_LIMIT, SIGNED, Entry, Item, read_record
from oms_core.policy.facts import Facts, Spend
from oms_core.workspace import Workspace, workspace_digest

SUBMITTED = "order.submitted"
KEPT = 20  # findings that are told one by one
_STEP = 60  # seconds between the moments that a request is weighed at


@dataclass(slots=True)
class _Asked:
    """A subject that cosigners were asked about: by which name, when, for what.

    ``permitted`` says when it was, as far as that is good yet, and for how long it then had to wait; ``why`` it is not.
    """

    name: str
    first: int
    at: int
    signs: bytes
    workspace: bytes
    spends: tuple[Spend, ...]
    why: str = "nothing was weighed"
    permitted: list[tuple[int, int]] = field(default_factory=list)


@dataclass(slots=True)
class Recount:
    """Requests to cosigners, and what came of them. ``findings`` are in words; the first few are kept, all counted.

    ``unknown`` requests are for orders of which the log does not say that they were submitted: before it began, if so.
    """

    requests: int = 0
    done: int = 0
    wrong: int = 0
    unknown: int = 0
    findings: list[str] = field(default_factory=list)
    _asked: dict[bytes, _Asked] = field(default_factory=dict)  # the newest at the end
    _names: dict[str, bytes] = field(default_factory=dict)
    _submitted: dict[str, tuple[bytes, int]] = field(default_factory=dict)
    _orders: dict[bytes, str] = field(default_factory=dict)
    _formerly: tuple[int, str] = (-1, "")
    _same: set[tuple[str, str]] = field(default_factory=set)  # ids of one order, the earlier one first
    _pressed: dict[tuple[bytes, int], tuple[bytes, int]] = field(default_factory=dict)
    _versions: dict[bytes, Workspace] = field(default_factory=dict)
    _due: dict[bytes, tuple[int, int]] = field(default_factory=dict)

    def take(self, entry: Entry, one: Item, versions: Versions) -> None:
        """The next entry. Raises `Malformed` for one that no cosigner could have read."""
        if entry.event in COUNTED:
            match read_effect(entry, one):
                case Began(digest, workspace):
                    self._versions[digest] = workspace
                case Approved() as approved:
                    self._approve(entry, approved)
                case Authorization() as made:
                    self._authorize(entry, made, versions)
        elif entry.event == SUBMITTED:
            self._submit(entry, one)
        elif entry.event == FORMERLY:
            self._formerly = entry.index, entry.subject
        elif entry.event == NOW and self._formerly[0] == entry.index - 1:
            self._same.add((self._formerly[1], entry.subject))
        elif entry.event in (SIGNED, MADE):
            self._finish(entry, one)

    def _say(self, entry: Entry, text: str) -> None:
        self.wrong += 1
        if len(self.findings) < KEPT:
            self.findings.append(f"entry {entry.index}: {text}")

    def _approve(self, entry: Entry, approved: Approved) -> None:
        """A change that people have approved is due at some time, for whoever stands on the version before."""
        parent = self._versions.get(approved.following.parent)
        self._versions.setdefault(approved.digest, approved.following)
        at = counts_at(approved.request, parent, entry.at) if parent is not None else None
        if parent is not None and at is not None:
            named = workspace_digest(parent)
            held = self._due.get(named, (at, 0))[0]
            self._due[named] = (min(held, at), approved.following.version)

    def _submit(self, entry: Entry, one: Item) -> None:
        record, subject = read_record(entry, one), b""  # erased, it could be any
        if record is not None and record.documents:
            subject = subject_digest(decode(Proposal, record.documents[0], RECORD_LIMIT).subject)
            self._orders.setdefault(subject, entry.subject)
        self._submitted.setdefault(entry.subject, (subject, entry.at))

    def _authorize(self, entry: Entry, made: Authorization, versions: Versions) -> None:
        self.requests += 1
        held = self._asked.get(made.subject)
        if held is not None and held.signs != made.signs:  # it keeps its place: what is behind it is looked at by time
            self._say(entry, f"cosigners are asked for another signature than in entry {held.first}, for the same")
            return
        if isinstance(made.asked, SignRequest):
            self._check_name(entry, made, held)
        asked = held or _Asked(entry.subject, entry.index, entry.at, made.signs, made.workspace, ())
        if held is None or asked.workspace != made.workspace:
            asked.spends = worst(asked.spends, spends_in(made, self._version(made.workspace), entry.at))
        asked.spends = tuple(replace(spend, at=entry.at) for spend in asked.spends)
        asked.at, asked.workspace = entry.at, made.workspace
        self._asked.pop(made.subject, None)
        self._asked[made.subject], self._names[entry.subject] = asked, made.subject
        if not isinstance(made.asked, ChangeRequest):
            asked.permitted = [one for one in asked.permitted if one[0] + AUTHORIZED_FOR + CLOCK_SKEW >= entry.at]
            try:
                asked.permitted.append((entry.at, self._weigh(entry, made, versions)))
            except CountersealError as error:
                asked.why = f"the request of entry {entry.index} was not permitted: {error.message}"
        for one in pressed_in(made, self._version(made.workspace)):
            self._pressed.setdefault((one.authenticator, one.counter), (one.challenge, entry.index))

    def _check_name(self, entry: Entry, made: Authorization, held: _Asked | None) -> None:
        """It stands in the log under the order's own name, so that nobody who reads about that can miss it."""
        said, name = self._submitted.get(entry.subject), self._orders.get(made.subject)
        if said is not None and said[0] not in (b"", made.subject):
            self._say(entry, f"it asks for another order than was submitted as {entry.subject}")
        elif said is None and name is not None:
            self._say(entry, f"it asks, as {entry.subject or 'nothing'}, for what was submitted as {name}")
        elif held is not None and held.name != entry.subject and (held.name, entry.subject) not in self._same:
            self._say(entry, f"it asks for what entry {held.first} asked for as {held.name}")
        self.unknown += said is None

    def _version(self, digest: bytes) -> Workspace:
        must(digest in self._versions, "it stands on a version that is not in the log", Reason.POLICY_VERSION_MISMATCH)
        return self._versions[digest]

    def _weigh(self, entry: Entry, made: Authorization, versions: Versions) -> int:
        """Whether an honest cosigner could permit it; for how long it then had to wait. Raises what says why not."""
        under = versions.used(made.workspace, entry)
        due, number = self._due.get(made.workspace, (entry.at, 0))
        text = f"version {number} of the workspace was due"
        must(due + CLOCK_SKEW >= entry.at, text, Reason.POLICY_VERSION_MISMATCH)
        for one in presses(made.asked.approvals, under):
            held = self._pressed.get((one.authenticator, one.counter), (one.challenge, entry.index))
            text = f"a key's counter, {one.counter}, was used for another approval, in entry {held[1]}"
            must(held[0] == one.challenge, text, Reason.COUNTER_REGRESSION)
        assert not isinstance(made.asked, ChangeRequest)
        back = look_back(made.asked, under, versions.by_digest)
        spent = tuple(self._spent(made.subject, entry.at - CLOCK_SKEW - back)) if back else ()
        failed: CountersealError | None = None
        for now in (entry.at, *range(entry.at - CLOCK_SKEW, entry.at + AUTHORIZED_FOR + CLOCK_SKEW + 1, _STEP)):
            facts = Facts(now, spent, seen_at=0, logged_at=entry.at)
            try:
                return authorize(made.asked, under, facts, versions.by_digest).decision.delay
            except CountersealError as error:
                failed = failed or error
        assert failed is not None
        raise failed

    def _spent(self, subject: bytes, since: int) -> Iterator[Spend]:
        """What others were asked for from a second on; the newest first, as times in a log never fall."""
        for other, asked in reversed(self._asked.items()):
            if asked.at < since:
                return
            if other != subject:
                yield from asked.spends

    def _finish(self, entry: Entry, one: Item) -> None:
        """An order was signed, or a key made."""
        self.done += 1
        what = f"{entry.subject} was {'signed' if entry.event == SIGNED else 'made'}"
        asked = self._asked.get(self._names.get(entry.subject, b""))
        if asked is None:
            self._say(entry, f"{what}, and no entry before says that cosigners were asked for it")
            return
        if not asked.permitted:
            self._say(entry, f"{what}; {asked.why}")
        since = self._submitted.get(entry.subject, (b"", entry.at))[1]
        delay = min((wait for _, wait in asked.permitted), default=0)
        if entry.event == SIGNED and entry.at + CLOCK_SKEW < since + delay:
            self._say(entry, f"{what}, and did not wait as the rules say")
        record = read_record(entry, one)
        if entry.event == SIGNED and record is not None and not _signs(record.documents, asked.signs):
            self._say(entry, f"{what}, and is not what cosigners were asked for in entry {asked.first}")


def _signs(documents: tuple[bytes, ...], signs: bytes) -> bool:
    """Whether a signed transaction is the one; what has signed a message, only its wallet's key can tell."""
    if not documents:
        return False
    if len(documents[-1]) == 65:
        return True
    try:
        return signing_digest(decode_signed(documents[-1])[0]) == signs
    except CountersealError:
        return False
