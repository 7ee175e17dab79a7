"""What an auditor's verification of a whole log costs: every entry, its record, and what came of every request.

`python -m bench.audit --entries 100000` reads an export of so many entries. Two logs, one ten times as long, show what
grows: the subjects that are remembered, and what the limits' window holds, as all orders here fall into one.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from auditor.files import Export
from auditor.lines import write_end, write_line
from auditor.logs import LogReport, drive, verify_log
from bench.report import Figure, command, peak
from oms_core.encoding import encode
from oms_core.log.entries import AUTHORIZED
from oms_core.log.note import read_checkpoint, read_note
from oms_core.workspace import workspace_digest
from tests.evidence import Story
from tests.people import EXECUTION, intent, workspace

ENTRIES = 20_000
SHARE = 50  # of so many entries one asks cosigners for an order, with two approvals, and one says that it was signed


def audit(entries: int = ENTRIES) -> Iterator[Figure]:
    """Verifying exports with their records."""
    with tempfile.TemporaryDirectory(prefix="cs-bench-") as folder:
        for size in (entries // 10, entries):
            file = Path(folder) / "log.jsonl"
            _write(file, size)
            began = time.perf_counter()
            with peak() as grown:
                report = _verified(file)
            took = time.perf_counter() - began
            label: dict[str, object] = {"entries": size, "orders": size // SHARE}
            assert report.recount is not None
            assert report.recount.requests == size // SHARE + 1
            yield Figure(
                "audit_rate", "entries of a whole log that an auditor verifies in a second", size / took, label
            )
            yield Figure("audit_memory", "MiB that memory grew by in that", grown[0], label)


def _verified(file: Path) -> LogReport:
    source = Export(file)
    report = drive(verify_log(source.note, workspace_digest(workspace()), None, True), source.answer)
    report.check()
    return report


def _write(file: Path, size: int) -> None:
    made = Story()
    made.wallet()
    for number in range(size // SHARE):
        _order(made, number)
        while made.size < (number + 1) * size // (size // SHARE):
            made.tell("cosigner.attached", f"cosigner-{made.size % 5 + 1}")
    note = made.note()
    head = read_checkpoint(read_note(note).body)
    with file.open("w", encoding="utf-8") as out:
        out.writelines(write_line(one, head, records=True) for one in made.items)
        out.write(write_end(note.decode()))


def _order(made: Story, number: int) -> None:
    """Asked for and signed."""
    order, execution, txn = intent(1, intent_id=f"int_{number}"), replace(EXECUTION, nonce=number), f"txn_{number}"
    request = made.request(order, execution, "olga", "ravi")
    made.tell("order.submitted", txn, encode(request.proposal), actor="desk")
    for approval in request.approvals:
        made.tell("order.decision", txn, encode(approval), actor=approval.claim.approver)
    made.tell(AUTHORIZED, txn, encode(request))
    made.sign(order, execution, txn)


if __name__ == "__main__":
    command(audit, ENTRIES)()
