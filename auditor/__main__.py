"""`python -m auditor`: verify packs, logs and anchors, offline, with nothing but what was agreed at the ceremony.

Exit codes: 0 all claims hold, 1 one does not, 2 what was given cannot be read.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from auditor.anchors import check_receipt
from auditor.files import open_log, verify_files
from auditor.pack import PACK_LIMIT
from auditor.proofs import verify_entry_proof
from auditor.report import NOTE, printable, when
from auditor.trusted import agreed, read_file, read_hash, read_workspace
from auditor.verify import verify_pack
from auditor.versions import Versions
from oms_core.encoding import decode
from oms_core.errors import CountersealError, LocalError, Malformed, ProofInvalid, Reason
from oms_core.log.anchor import AnchorReceipt
from oms_core.log.conflict import LogConflict, verify_conflict
from oms_core.log.entries import RECORD_LIMIT
from oms_core.log.lines import read_number
from oms_core.log.note import LIMIT, read_checkpoint, read_note
from oms_core.log.ots import verify_ots
from oms_core.log.ots_file import MAX_FILE
from oms_core.log.proof import PROOF_LIMIT
from oms_core.log.roster import log_verifier
from oms_core.workspace import Workspace


def main(arguments: list[str] | None = None) -> int:
    """Do what the arguments say; the exit code."""
    given = _parser().parse_args(arguments)
    try:
        for line in given.run(given):
            _say(line)
    except ProofInvalid as error:
        _say(str(error), sys.stderr)
        return 1
    except CountersealError as error:
        _say(str(error), sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m auditor", description="Verify a Counterseal network's evidence offline."
    )
    commands = parser.add_subparsers(required=True)
    pack = commands.add_parser("pack", help="an evidence pack of an order")
    pack.add_argument("file", type=Path)
    pack.add_argument("--block-hash", default="", help="of the block of its anchor, from a source that you trust")
    pack.set_defaults(run=_pack)
    log = commands.add_parser("log", help="a whole log, or a part of it")
    log.add_argument("--tiles", type=Path, help="a folder as `coordinator log-tiles` writes it")
    log.add_argument("--export", type=Path, help="a file as `oms log export` writes it")
    log.add_argument("--from", dest="first", type=int, default=None)
    log.add_argument("--to", dest="last", type=int, default=None, help="the first index that is not verified")
    log.set_defaults(run=_log)
    anchor = commands.add_parser("anchor", help="an anchor's receipt")
    anchor.add_argument("file", type=Path)
    anchor.add_argument("--block-hash", default="")
    anchor.set_defaults(run=_anchor)
    stamp = commands.add_parser("ots", help="an anchor as an OpenTimestamps proof")
    stamp.add_argument("file", type=Path)
    stamp.add_argument("--checkpoint", type=Path, required=True)
    stamp.add_argument("--block", action="append", default=[], required=True, metavar="NUMBER=TRANSACTIONS_ROOT")
    stamp.set_defaults(run=_ots)
    proof = commands.add_parser("proof", help="the proof of one entry, as `oms log prove` writes it")
    proof.add_argument("file", type=Path)
    proof.set_defaults(run=_proof)
    conflict = commands.add_parser("conflict", help="two heads of the log that do not fit")
    conflict.add_argument("file", type=Path)
    conflict.set_defaults(run=_conflict)
    for one in (pack, log, anchor, proof, conflict):
        one.add_argument("--workspace", type=Path, help="the file of the workspace as agreed at the ceremony")
        one.add_argument("--digest", default="", help="its digest in hex")
    return parser


def _pack(given: argparse.Namespace) -> list[str]:
    block = read_hash(given.block_hash, "--block-hash") if given.block_hash else None
    return verify_pack(read_file(given.file, PACK_LIMIT), _agreed(given)[0], block).lines()


def _log(given: argparse.Namespace) -> Iterator[str]:
    report = verify_files(open_log(given.tiles, given.export), *_agreed(given), given.first, given.last)
    yield from report.lines()
    report.check()


def _anchor(given: argparse.Namespace) -> list[str]:
    workspace = _workspace(given, "an anchor")
    block = read_hash(given.block_hash, "--block-hash") if given.block_hash else None
    receipt = decode(AnchorReceipt, read_file(given.file, RECORD_LIMIT), RECORD_LIMIT)
    shown, _ = check_receipt(receipt, Versions(workspace), block)
    name = shown.block_hash.hex()
    known = "as you named it" if block else "which you have to find at a source that you trust"
    what = f"the log had {shown.size} entries, root {shown.root.hex()}"
    return [
        f"ok  {what}",
        f"ok  by {when(shown.timestamp)}, in block {shown.block} of {receipt.chain}, 0x{name}, {known}",
    ]


def _proof(given: argparse.Namespace) -> list[str]:
    workspace = _workspace(given, "a proof")
    entry, vouched = verify_entry_proof(read_file(given.file, PROOF_LIMIT), workspace)
    said = f"entry {entry.index}, {when(entry.at)}: {entry.event} {entry.subject}".rstrip()
    return [f"ok  {said}", f"ok  it stands in the log of {vouched.checkpoint.size} entries, {vouched.words}"]


def _conflict(given: argparse.Namespace) -> list[str]:
    workspace = _workspace(given, "a conflict")
    conflict = decode(LogConflict, read_file(given.file, RECORD_LIMIT), RECORD_LIMIT)
    return [f"CONFIRMED {verify_conflict(conflict, [log_verifier(workspace)])}"]


def _ots(given: argparse.Namespace) -> list[str]:
    roots = {}
    for text in given.block:
        number, _, root = text.partition("=")
        roots[read_number(number, "block's number")] = read_hash(root, "--block")

    def root_of(number: int) -> bytes:
        if number not in roots:
            raise Malformed(f"the proof names block {number}: give its transactions root by --block")
        return roots[number]

    head = read_checkpoint(read_note(read_file(given.checkpoint, LIMIT)).body)
    shown = verify_ots(read_file(given.file, MAX_FILE), head.body(), root_of)
    what = f"the checkpoint of {head.size} entries of {head.origin}, root {head.root.hex()}"
    said = [f"ok  {what}, is in block {number}" for number in shown.blocks]
    said.append(f"{NOTE} who has signed and cosigned that checkpoint was not looked at; see `anchor` and `log`")
    if shown.others:
        said.append(f"{NOTE} {len(shown.others)} attestations of other chains or calendars were not looked at")
    return said


def _agreed(given: argparse.Namespace) -> tuple[bytes, Workspace | None]:
    return agreed(read_workspace(given.workspace) if given.workspace is not None else None, given.digest)


def _workspace(given: argparse.Namespace, what: str) -> Workspace:
    """The workspace itself, without which ``what`` cannot be verified. Raises `LocalError`."""
    _, workspace = _agreed(given)
    if workspace is None:
        raise LocalError(f"{what} is verified with --workspace", Reason.CONFIG_INVALID)
    return workspace


def _say(line: str, file: TextIO | None = None) -> None:
    """A line of which others may have written a part, in whatever encoding there is."""
    file = file or sys.stdout
    coding = file.encoding or "ascii"
    print(printable(line).encode(coding, "backslashreplace").decode(coding), file=file)


if __name__ == "__main__":
    sys.exit(main())
