"""Which version of the workspace counts at this coordinator, and the chain of those before it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from oms_core.errors import Conflict, Reason, Refused
from oms_core.policy.limits import horizon
from oms_core.workspace import Workspace, workspace_digest


class Standing:
    """The chain so far. All parts of a coordinator share one, so that all go over to a new version at once."""

    def __init__(self, first: Workspace) -> None:
        self.current = first
        self._versions = {workspace_digest(first): first}
        self.horizon = horizon(first)  # seconds: as far back as the limits of any version look

    @property
    def digest(self) -> bytes:
        """The current version's."""
        return workspace_digest(self.current)

    @property
    def older(self) -> Mapping[bytes, Workspace]:
        """All versions before the current one, by digest."""
        return self.before(self.current)

    def before(self, workspace: Workspace) -> dict[bytes, Workspace]:
        """All versions before this one, by digest."""
        return {digest: one for digest, one in self._versions.items() if one.version < workspace.version}

    def find(self, digest: bytes) -> Workspace | None:
        """The version of this digest, if the chain has it."""
        return self._versions.get(digest)

    def named(self, digest: bytes) -> Workspace:
        """As `find`. Raises `Refused` (POLICY_VERSION_MISMATCH) for what is not in the chain."""
        if (found := self._versions.get(digest)) is None:
            raise Refused("another chain of workspaces, or a version that is not known here", _MISMATCH)
        return found

    def advance(self, following: Workspace) -> None:
        """Stand on the next version. Raises `Conflict` (POLICY_VERSION_MISMATCH) if it follows another one."""
        if (following.parent, following.version) != (self.digest, self.current.version + 1):
            raise Conflict(f"version {following.version} does not follow version {self.current.version}", _MISMATCH)
        self._versions[workspace_digest(following)] = following
        self.current = following
        self.horizon = max(self.horizon, horizon(following))

    def __iter__(self) -> Iterator[Workspace]:
        """Oldest first."""
        return iter(sorted(self._versions.values(), key=lambda one: one.version))


_MISMATCH = Reason.POLICY_VERSION_MISMATCH


class Stands:
    """A part of the coordinator that works under whatever version counts now."""

    _standing: Standing

    @property
    def _workspace(self) -> Workspace:
        return self._standing.current
