"""A whole log, or a part of it, verified entry by entry, in memory that does not grow with it but for its subjects.

The verification is a generator: it asks for entries and for proofs, and whoever drives it reads them from files or from
a coordinator, which need not be trusted. Where something is wrong it names the first entry that is not as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import TypeVar, cast

from auditor.heads import Vouched, verify_head
from auditor.recount import Recount
from auditor.report import NOTE, must
from auditor.versions import AFTERWARDS, Versions, read_change, read_genesis
from oms_core.errors import CountersealError, Malformed, ProofInvalid, Reason
from oms_core.log.entries import GENESIS, WORKSPACE_APPROVED, Entry, Item, Record, commitment, read_entry, read_record
from oms_core.log.note import Checkpoint, read_checkpoint, read_note
from oms_core.log.tree import Frontier, leaf_hash, verify_consistency
from oms_core.workspace import ChangeWorkspace, Workspace, workspace_digest

CHUNK = 1000  # entries asked for at once
ADOPTED = "workspace.version"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Items:
    """Give me entries from ``start`` on, at most ``limit``, at least one if there is one."""

    start: int
    limit: int


@dataclass(frozen=True, slots=True)
class Path:
    """Give me the path of an entry in the tree of this size; None if you have no tree."""

    index: int
    size: int


@dataclass(frozen=True, slots=True)
class Extends:
    """Give me the proof that the tree of size ``new`` extends the one of size ``old``; None if you have no tree."""

    old: int
    new: int


Ask = Items | Path | Extends
Answer = list[Item] | tuple[bytes, ...] | None
Asking = Generator[Ask, Answer, T]


class EntryWrong(ProofInvalid):
    """An entry that is not as it was; ``index`` is the first such."""

    def __init__(self, index: int, text: str) -> None:
        super().__init__(f"entry {index}: {text}", Reason.DIGEST_MISMATCH, index=str(index))
        self.index = index


@dataclass(frozen=True, slots=True)
class LogReport:
    """What was verified: entries ``first`` to ``last`` under a checkpoint, and what was not there to be verified.

    ``erased`` counts records that were erased; ``records`` is whether records were looked at. ``versions`` is the
    number of the newest version of the workspace that the log came to, -1 if the log was not followed from its begin;
    ``recount`` is None then, too.
    """

    head: Vouched
    first: int
    last: int
    subjects: int
    records: bool
    erased: int
    versions: int
    recount: Recount | None

    def check(self) -> None:
        """Raises `ProofInvalid` if something was done that cosigners must not have permitted."""
        if self.recount is not None and self.recount.wrong:
            wrong, first = self.recount.wrong, self.recount.findings[0]
            raise ProofInvalid(
                f"{wrong} of the log's entries are of what was not permitted: {first}", Reason.NOT_ELIGIBLE
            )

    def lines(self) -> list[str]:
        """What was verified, in words."""
        count, size = self.last - self.first + 1, self.head.checkpoint.size
        under = "as the workspace that you named has them"
        if self.versions >= 0:
            under = f"as version {self.versions} of the workspace has them, to which the log has led"
        said = [
            f"ok  {count} entries, {self.first} to {self.last}, are those under the checkpoint of {size}",
            f"ok  none is missing, about {self.subjects} subjects none was taken out, and times never fall",
            f"ok  the checkpoint is signed by the log's key and its witnesses', {under}",
            f"ok  it is {self.head.words}",
        ]
        if self.records:
            erased = f", {self.erased} of them erased" if self.erased else ""
            said.append(f"ok  each record is the one that its entry commits to{erased}")
        else:
            said.append(f"{NOTE} records were not there to be looked at")
        if self.recount is None:
            said.append(f"{NOTE} approvals and limits were not counted: that takes a whole log with its records")
            return [*said, f"VERIFIED {self.head.checkpoint.origin}"]
        return [*said, *self._counted(self.recount)]

    def _counted(self, found: Recount) -> list[str]:
        if found.wrong:
            more = [f"WRONG  and {found.wrong - len(found.findings)} more"] if found.wrong > len(found.findings) else []
            return [*(f"WRONG  {words}" for words in found.findings), *more]
        unknown = (
            f"{NOTE} {found.unknown} of the requests are for orders that were not submitted here; before the log began?"
        )
        came = f"of {found.requests} requests to cosigners came {found.done} signed orders and keys"
        return [
            f"ok  {came}: all were asked for before, and permitted by rules, approvals and limits, counted here",
            "ok  none of them was asked for in two ways, and no key's counter was used for two approvals",
            *([unknown] if found.unknown else []),
            f"{NOTE} not counted is what of limits is left where witnesses are missing; what keys sign, packs verify",
            f"VERIFIED {self.head.checkpoint.origin}",
        ]


@dataclass(slots=True)
class _Walk:
    """Where the verification stands: the tree so far, times and subjects, and the workspace's chain."""

    tree: Frontier
    records: bool
    begin: int
    pinned: bytes
    at: int = 0
    erased: int = 0
    newest: dict[str, int] = field(default_factory=dict)
    versions: Versions | None = None
    waiting: dict[str, tuple[Entry, Record]] = field(default_factory=dict)
    recount: Recount = field(default_factory=Recount)

    def take(self, index: int, one: Item) -> None:
        """One entry more. Raises `CountersealError` if it does not fit what came before."""
        entry = read_entry(one.entry)
        if entry.index != index:
            raise Malformed(f"entry {entry.index} stands in its place: it was taken away, or moved")
        must(entry.at >= self.at, "it is of an earlier time than the one before")
        must((entry.event == GENESIS) == (index == 0), f"a log has one {GENESIS}, and begins with it")
        self._check_previous(entry)
        self.at = entry.at
        if self.records:
            self._check_record(entry, one)
            if self.versions is not None:
                self.recount.take(entry, one, self.versions)

    def known(self) -> list[Workspace]:
        """All versions that the log speaks of, those that people have approved and that do not count yet as well."""
        waiting = [read_change(record).proposal.subject for _, record in self.waiting.values()]
        following = [wish.next for wish in waiting if isinstance(wish, ChangeWorkspace)]
        return [*(self.versions.by_digest.values() if self.versions is not None else ()), *following]

    def _check_previous(self, entry: Entry) -> None:
        if not entry.subject:
            must(entry.previous == -1, "it is about nothing, and names an entry before it")
            return
        before = self.newest.get(entry.subject, -1)
        seen = before >= 0 or self.begin == 0
        right = entry.previous == before if seen else entry.previous < self.begin
        must(right, f"it names {entry.previous} as the one before it of {entry.subject}, and that is {before}")
        self.newest[entry.subject] = entry.index

    def _check_record(self, entry: Entry, one: Item) -> None:
        if entry.event in (GENESIS, WORKSPACE_APPROVED, ADOPTED):
            self._follow(entry, read_record(entry, one))
        elif not one.record and not one.salt:
            self.erased += 1
        else:
            fits = commitment(one.salt, one.record) == entry.record
            must(fits, "its record is not the one that it commits to")

    def _follow(self, entry: Entry, record: Record | None) -> None:
        """The workspace's chain: a change counts for the log when the coordinator has gone over to it."""
        if entry.event == GENESIS:
            genesis = read_genesis(entry, record)
            must(workspace_digest(genesis) == self.pinned, "it is another workspace than was agreed")
            self.versions = Versions(genesis)
        elif self.versions is not None and entry.event == WORKSPACE_APPROVED:
            must(record is not None, "its record was erased")
            assert record is not None
            if record.note == AFTERWARDS[0]:
                self.versions.extend(entry, record)
            else:
                self.waiting[entry.subject] = (entry, record)
        elif self.versions is not None and entry.subject in self.waiting:
            self.versions.extend(*self.waiting.pop(entry.subject))


def verify_log(
    note: str | bytes,
    pinned: bytes,
    workspace: Workspace | None,
    records: bool,
    first: int = 0,
    last: int | None = None,
) -> Asking[LogReport]:
    """Entries ``first`` to below ``last`` (all, if None) are those under the checkpoint, and are what a log may hold.

    ``pinned`` is the digest (32 bytes) of the workspace as agreed. The checkpoint's keys are those of the newest
    version that the log comes to, where it is read from its beginning with ``records``; else those of ``workspace``.
    Raises `EntryWrong`, `ProofInvalid` for what cannot be said of one entry, `Malformed`.
    """
    head = read_checkpoint(read_note(note).body)
    stop = head.size if last is None else min(last, head.size)
    if not 0 <= first < stop:
        raise Malformed(f"the checkpoint is of {head.size} entries: there is none from {first} on below {stop}")
    walk = _Walk((yield from _beginning(first, head)), records, first, pinned)
    while walk.tree.size < stop:
        yield from _chunk(walk, head, stop)
    if not (yield from _is_prefix(walk.tree, head, sure=True)):
        raise ProofInvalid("the entries do not lead to the checkpoint's root", Reason.DIGEST_MISMATCH)
    newest = walk.versions.newest if walk.versions is not None else workspace
    if newest is None:
        raise Malformed(
            "there are no records from the beginning on, which name the keys: the --workspace FILE is needed"
        )
    vouched = verify_head(note, newest, walk.known())
    vouched.check_time(walk.at)
    number = -1 if walk.versions is None else newest.version
    recount = walk.recount if walk.versions is not None else None
    return LogReport(vouched, first, stop - 1, len(walk.newest), records, walk.erased, number, recount)


def drive(asking: Asking[T], answer: Callable[[Ask], Answer]) -> T:
    """Run a verification on what ``answer`` reads."""
    given: Answer = None
    while True:
        try:
            asked = asking.send(given)
        except StopIteration as end:
            return cast(T, end.value)
        given = answer(asked)


def _beginning(first: int, head: Checkpoint) -> Asking[Frontier]:
    """The tree below the first entry: its subtrees are what a path of that entry is made of."""
    if first == 0:
        return Frontier()
    path = yield Path(first, first + 1)
    if not isinstance(path, tuple):
        raise Malformed("a part of a log is verified by its tiles, or at a coordinator")
    tree = Frontier(first, tuple(reversed(path)))
    if not (yield from _is_prefix(tree, head)):
        raise ProofInvalid(f"the first {first} entries are not those under the checkpoint", Reason.DIGEST_MISMATCH)
    return tree


def _chunk(walk: _Walk, head: Checkpoint, stop: int) -> Asking[None]:
    """The next entries; if one is wrong, the first that is."""
    base, start = walk.tree, walk.tree.size
    items = yield Items(start, min(CHUNK, stop - start))
    if not isinstance(items, list) or not items:
        raise EntryWrong(start, "it is not there")
    items, wrong = items[: stop - start], None
    leaves = [leaf_hash(one.entry) for one in items]
    for index, one in enumerate(items, start):
        try:
            walk.take(index, one)
        except CountersealError as error:
            wrong = EntryWrong(index, error.message)
            leaves = leaves[: index - start + 1]
            break
    tree = base.extended(leaves)
    if not (yield from _is_prefix(tree, head)):
        bad = start + (yield from _first_wrong(base, leaves, head))
        if wrong is None or bad < wrong.index:
            raise EntryWrong(bad, "it is not the one under the checkpoint: it was edited, or put in")
    if wrong is not None:
        raise wrong
    walk.tree = tree


def _is_prefix(tree: Frontier, head: Checkpoint, *, sure: bool = False) -> Asking[bool]:
    """Whether the tree under the checkpoint begins with this one; True where nobody can tell, if that will do.

    Raises `Malformed` if not.
    """
    if tree.size == head.size:
        return tree.root() == head.root
    proof = yield Extends(tree.size, head.size)
    if not isinstance(proof, tuple):
        if sure:
            raise Malformed("a part of a log is verified by its tiles, or at a coordinator")
        return True
    try:
        verify_consistency(tree.size, tree.root(), head.size, head.root, proof)
    except ProofInvalid:
        return False
    return True


def _first_wrong(base: Frontier, leaves: list[bytes], head: Checkpoint) -> Asking[int]:
    """Of these leaves, the first with which the tree is not the one under the checkpoint: by halving."""
    right, wrong = 0, len(leaves)
    while wrong - right > 1:
        middle = (right + wrong) // 2
        if (yield from _is_prefix(base.extended(leaves[:middle]), head)):
            right = middle
        else:
            wrong = middle
    return right
