"""A log as JSON Lines, for systems that collect events: a line an entry, and the signed checkpoint at the end.

Each line names its index and the checkpoint that it was exported under, so that whoever collects them sees a gap.
``entry`` is the leaf in base64; with it, or with ``record`` and ``salt`` as well, an export can be verified.
"""

from __future__ import annotations

import json
from typing import Any

from auditor.report import iso
from oms_core.encoding import decode
from oms_core.errors import Malformed
from oms_core.log.entries import RECORD_LIMIT, Entry, Item, Record, read_entry, read_record
from oms_core.log.lines import base64, read_base64
from oms_core.log.note import Checkpoint
from oms_core.log.tree import leaf_hash

LINE_LIMIT = 24 << 20  # bytes
_NAMES = {
    "index", "time", "event", "subject", "previous", "actor", "credential", "note", "erased", "leaf", "entry", "size",
    "root",
}  # fmt: skip


def write_line(one: Item, head: Checkpoint, records: bool) -> str:
    """One entry as a line, with its newline. Raises `Malformed` if its record is another one."""
    entry = read_entry(one.entry)
    line = {
        **_entry(entry),
        **_record(read_record(entry, one)),
        "leaf": leaf_hash(one.entry).hex(),
        "entry": base64(one.entry),
        "size": head.size,
        "root": head.root.hex(),
    }
    if records:
        line |= {"record": base64(one.record), "salt": base64(one.salt)}
    return json.dumps(line, separators=(",", ":")) + "\n"


def write_end(note: str) -> str:
    """The last line, which holds the checkpoint."""
    return json.dumps({"checkpoint": note}, separators=(",", ":")) + "\n"


def read_line(text: str, head: Checkpoint | None = None) -> tuple[Item, bool] | str:
    """What a line holds: an item, and whether its record is with it; or the checkpoint.

    What the line says in plain is what its entry says, and its record, if that is with it; under ``head``, if the line
    names that. Raises `Malformed`.
    """
    try:
        line = json.loads(text, object_pairs_hook=_object)
    except (ValueError, RecursionError):
        raise Malformed("a line that is no JSON, or has a name twice") from None
    if not isinstance(line, dict):
        raise Malformed("a line that is no JSON object")
    if set(line) == {"checkpoint"} and isinstance(line["checkpoint"], str):
        return line["checkpoint"]
    with_record = "record" in line
    fields = [line.get(name, "") for name in ("entry", "record", "salt")]
    if not all(isinstance(one, str) for one in fields) or not fields[0]:
        raise Malformed("a line without the entry that it is about")
    data, record, salt = (read_base64(one, "entry") for one in fields)
    if line.get("leaf") != leaf_hash(data).hex():
        raise Malformed("a line whose entry and leaf hash do not fit")
    entry = read_entry(data)
    meant = _entry(entry)
    if with_record:
        meant |= _record(decode(Record, record, RECORD_LIMIT) if record or salt else None)
    if head is not None and (line.get("size") == head.size or line.get("root") == head.root.hex()):
        meant |= {"size": head.size, "root": head.root.hex()}
    for name, value in meant.items():
        if (type(line.get(name)), line.get(name)) != (type(value), value):
            raise Malformed(f"the line of entry {entry.index} says another {name} than what it is about")
    if set(line) != _NAMES | ({"record", "salt"} if with_record else set()):
        raise Malformed(f"the line of entry {entry.index} says more than an export does, or less")
    return Item(data, record, salt), with_record


def _entry(entry: Entry) -> dict[str, Any]:
    """What a line says of an entry in plain."""
    return {
        "index": entry.index,
        "time": iso(entry.at),
        "event": entry.event,
        "subject": entry.subject,
        "previous": entry.previous,
    }


def _record(record: Record | None) -> dict[str, Any]:
    """The same of its record; of one that was erased, that."""
    return {
        "actor": record.actor if record is not None else "",
        "credential": record.credential.hex() if record is not None else "",
        "note": record.note if record is not None else "",
        "erased": record is None,
    }


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError
    return found
