"""What has to hold of the log's settings and of the witnesses' keys."""

from __future__ import annotations

import re

from oms_core.errors import Malformed
from oms_core.workspace import Workspace
from oms_core.workspace.names import unique, within

MAX_WINDOW = 31 * 86_400  # seconds
_ORIGIN = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,62}[a-z0-9])?(?:/[A-Za-z0-9._-]{1,64}){0,4}\Z")


def check_log(workspace: Workspace) -> None:
    """A name that is a schema-less URL, keys that are all different, times that make sense. Raises `Malformed`.

    Cosignatures do not say whose they are but by their keys: one key for two witnesses would count twice.
    """
    log = workspace.log
    if not _ORIGIN.match(log.origin):
        raise Malformed(f"log.origin {ascii(log.origin)[:80]}: a host and at most four plain path elements")
    keys = [log.public, *(member.witness for member in workspace.roster)]
    if any(len(key) != 32 for key in keys):
        raise Malformed("log.public and the cosigners' witness keys have 32 bytes (Ed25519)")
    unique("the log's key and the cosigners' witness keys", keys)
    within("log.fresh_for", log.fresh_for, 5, 86_400)
    within("log.degraded_window", log.degraded_window, log.fresh_for, MAX_WINDOW)
