"""The versions of the workspace that this node has come to, sealed: the pinned one, and each that followed it.

A version is kept as the request by which people asked for it, so that whoever missed it can be shown why.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, func, insert, select

from cosigner.hsm import Token
from cosigner.store import versions
from oms_core.encoding import decode, document, encode
from oms_core.errors import LocalError, Malformed, NotFound, Reason, Refused
from oms_core.evidence import ChangeWorkspaceRequest, SignedAdoption, SignedScheduling
from oms_core.workspace import Workspace, workspace_digest

LIMIT = 8 << 20  # bytes of a request
_KEPT = 8  # older versions in memory


@document("version-clear/1")
class VersionClear:
    """The clear fields of a sealed version; associated data of its encryption."""

    index: int
    number: int
    workspace: bytes
    change: bytes


@dataclass(frozen=True, slots=True)
class Said:
    """What this node has signed about a change: when it saw it approved and, once it stands on it, that it does."""

    scheduling: SignedScheduling
    adoption: SignedAdoption | None


class Versions:
    """The chain at this node. All methods may be called from any thread."""

    def __init__(self, engine: Engine, token: Token, pinned: Callable[[], Workspace]) -> None:
        """``pinned`` reads what the ceremony fixed; it raises `NotFound` before that."""
        self._engine, self._token, self._pinned = engine, token, pinned
        self._turn = threading.RLock()
        self._current: Workspace | None = None
        self._first: Workspace | None = None
        self._read: OrderedDict[bytes, Workspace] = OrderedDict()

    def first(self) -> Workspace:
        """The pinned version. Raises `NotFound` before the ceremony."""
        with self._turn:
            if self._first is None:
                self._first = self._pinned()
            return self._first

    def current(self) -> Workspace:
        """The version that counts. Raises `NotFound` before the ceremony."""
        with self._turn:
            if self._current is None:
                with self._engine.begin() as connection:
                    newest = connection.execute(select(func.max(versions.c.number))).scalar()
                self._current = self.first() if newest is None else self.request(int(newest)).wish.next
            return self._current

    def find(self, digest: bytes) -> Workspace | None:
        """A version by its digest, if the chain has it."""
        with self._turn:
            for held in (self.current(), self.first()):
                if workspace_digest(held) == digest:
                    return held
            if digest in self._read:
                self._read.move_to_end(digest)
                return self._read[digest]
            with self._engine.begin() as connection:
                number = connection.execute(select(versions.c.number).filter_by(digest=digest)).scalar()
            if number is None:
                return None
            self._read[digest] = self.request(int(number)).wish.next
            while len(self._read) > _KEPT:
                self._read.popitem(last=False)
            return self._read[digest]

    def named(self, digest: bytes) -> Workspace:
        """As `find`. Raises `Refused` (POLICY_VERSION_MISMATCH)."""
        if (found := self.find(digest)) is None:
            raise Refused("this node does not stand on that version of the workspace", Reason.POLICY_VERSION_MISMATCH)
        return found

    def before(self, workspace: Workspace) -> Mapping[bytes, Workspace]:
        """All versions before this one, by digest; read when they are asked for."""
        return _Before(self, workspace.version)

    def digests(self, below: int) -> list[bytes]:
        """Of the versions with a lower number, oldest first."""
        query = select(versions.c.digest).where(versions.c.number < below).order_by(versions.c.number)
        with self._engine.begin() as connection:
            later = [bytes(digest) for digest in connection.execute(query).scalars()]
        first = self.first()
        return [workspace_digest(first), *later] if first.version < below else []

    def request(self, number: int) -> ChangeWorkspaceRequest:
        """By which the node came to a version. Raises `NotFound`, `LocalError` for what does not open or fit."""
        with self._engine.begin() as connection:
            row = connection.execute(select(versions).filter_by(number=number)).first()
        if row is None:
            raise NotFound(f"no version {number} of the workspace here", Reason.POLICY_VERSION_MISMATCH)
        try:
            clear = decode(VersionClear, row.clear)
        except Malformed as error:
            raise LocalError("the store's clear fields are damaged", Reason.STORE_CORRUPT) from error
        if clear != VersionClear(self._token.index, number, row.digest, row.change):
            raise LocalError("a version of another node or place", Reason.STORE_CORRUPT)
        return decode(ChangeWorkspaceRequest, self._token.unseal(row.blob, row.clear, ""), LIMIT)

    def said(self, number: int) -> tuple[bytes, Said] | None:
        """(digest of the wish, what was said of it) of a version; None if it is not here."""
        query = select(versions.c.change, versions.c.scheduling, versions.c.adoption).filter_by(number=number)
        with self._engine.begin() as connection:
            row = connection.execute(query).first()
        if row is None:
            return None
        return bytes(row.change), Said(decode(SignedScheduling, row.scheduling), decode(SignedAdoption, row.adoption))

    def add(
        self,
        connection: Connection,
        request: ChangeWorkspaceRequest,
        scheduling: SignedScheduling,
        adoption: SignedAdoption,
    ) -> None:
        """Inside a transaction: one version more, after the current one. Raises `Refused` if there is another one."""
        following, change = request.wish.next, scheduling.scheduling.change
        self.check(connection, self.current())
        clear = encode(VersionClear(self._token.index, following.version, workspace_digest(following), change))
        row = {
            "number": following.version,
            "digest": workspace_digest(following),
            "change": change,
            "clear": clear,
            "blob": self._token.seal(encode(request), clear, ""),
            "scheduling": encode(scheduling),
            "adoption": encode(adoption),
        }
        connection.execute(insert(versions).values(row))

    def check(self, connection: Connection, workspace: Workspace) -> None:
        """Inside a transaction: this is the version that counts. Raises `Refused` (POLICY_VERSION_MISMATCH)."""
        newest = connection.execute(select(func.max(versions.c.number))).scalar()
        if newest is None:  # nothing has followed the pinned version, which was read when anything was
            newest = self._first.version if self._first is not None else -1
        if int(newest) != workspace.version:
            raise Refused("the workspace has another version by now", Reason.POLICY_VERSION_MISMATCH)

    def forget(self) -> None:
        """What is in memory: the store has the next version."""
        with self._turn:
            self._current = None


class _Before(Mapping[bytes, Workspace]):
    """Versions below a number, by digest."""

    def __init__(self, chain: Versions, below: int) -> None:
        self._chain, self._below = chain, below

    def __getitem__(self, digest: bytes) -> Workspace:
        found = self._chain.find(digest)
        if found is None or found.version >= self._below:
            raise KeyError(digest)
        return found

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._chain.digests(self._below))

    def __len__(self) -> int:
        return len(self._chain.digests(self._below))
