"""A step of an order, a wallet or a change, where people see it and in the log: both in the caller's transaction."""

from __future__ import annotations

import json
import time
from typing import Any

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from coordinator.ids import kind_of
from coordinator.journal import COORDINATOR, append
from coordinator.tables import stages
from oms_core.encoding import encode
from oms_core.log.documents import RuleTrace
from oms_core.log.entries import Record

By = tuple[str, bytes]
"""Who did it, and with which credential or key."""

OURS: By = (COORDINATOR, b"")


async def stage(
    connection: AsyncConnection,
    subject_id: str,
    state: str,
    note: str,
    *documents: bytes,
    told: str = "",
    by: By = OURS,
) -> None:
    """A line in the way of an order, a wallet or a change, and an entry in the log, which may be ``told`` more."""
    values = {"subject_id": subject_id, "state": state, "at": time.time(), "note": note}
    await connection.execute(insert(stages).values(values))
    await record(connection, subject_id, state.lower(), told or note, documents, by)


async def record(
    connection: AsyncConnection,
    subject_id: str,
    what: str,
    note: str = "",
    documents: tuple[bytes, ...] = (),
    by: By = OURS,
) -> None:
    """An entry in the log: what happened to whatever this id stands for."""
    await append(connection, f"{kind_of(subject_id)}.{what}", subject_id, Record(*by, note, documents))


def said(values: dict[str, Any]) -> str:
    """A reason with its detail, as far as there are any."""
    return ": ".join(str(values[name]) for name in ("reason", "detail") if values.get(name))


def written(values: dict[str, Any]) -> tuple[bytes, ...]:
    """The documents among a row's new values; what each rule came to is one as well."""
    trace = (encode(RuleTrace(tuple(json.loads(values["trace"])))),) if "trace" in values else ()
    return trace + tuple(value for value in values.values() if isinstance(value, bytes) and value)
