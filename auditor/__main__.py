"""`python -m auditor`: verify packs, logs and anchors, offline, with nothing but what was agreed at the ceremony.

Exit codes: 0 all claims hold, 1 one does not, 2 what was given cannot be read.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from auditor.anchors import check_receipt
from auditor.files import Export, Folder
from auditor.logs import Answer, Ask, Items, drive, verify_log
from auditor.proofs import verify_entry_proof
from auditor.report import when
from auditor.verify import verify_pack
from auditor.versions import Versions
from oms_core.encoding import decode
from oms_core.errors import CountersealError, LocalError, Malformed, ProofInvalid, Reason
from oms_core.history import WORKSPACE_LIMIT
from oms_core.log.anchor import AnchorReceipt
from oms_core.log.conflict import LogConflict, verify_conflict
from oms_core.log.entries import RECORD_LIMIT
from oms_core.log.note import read_note
from oms_core.log.ots import verify_ots
from oms_core.log.roster import log_verifier
from oms_core.workspace import Workspace, workspace_digest


def main(arguments: list[str] | None = None) -> int:
    """Do what the arguments say; the exit code."""
    given = _parser().parse_args(arguments)
    try:
        for line in given.run(given):
            _say(line)
    except ProofInvalid as error:
        print(str(error), file=sys.stderr)
        return 1
    except CountersealError as error:
        print(str(error), file=sys.stderr)
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
    block = _hash(given.block_hash, "--block-hash") if given.block_hash else None
    report = verify_pack(_read(given.file), pinned(given)[0], block)
    return [*(f"ok  {words}" for words in report.claims), f"VERIFIED {report.subject}"]


def _log(given: argparse.Namespace) -> list[str]:
    if given.tiles is None and given.export is None:
        raise LocalError("name --tiles or --export", Reason.CONFIG_INVALID)
    folder = Folder(given.tiles) if given.tiles is not None else None
    source: Folder | Export = Export(given.export, folder) if given.export is not None else folder  # type: ignore[assignment]
    digest, workspace = pinned(given)
    first = given.first if given.first is not None else source.first if isinstance(source, Export) else 0

    def answer(asked: Ask) -> Answer:
        if isinstance(asked, Items) and asked.start and sys.stderr.isatty():
            print(f"\r{asked.start} entries", end="", file=sys.stderr, flush=True)
        return source.answer(asked)

    report = drive(verify_log(source.note, digest, workspace, source.records, first, given.last), answer)
    return report.lines()


def _anchor(given: argparse.Namespace) -> list[str]:
    _, workspace = pinned(given)
    if workspace is None:
        raise LocalError("an anchor is verified with --workspace", Reason.CONFIG_INVALID)
    block = _hash(given.block_hash, "--block-hash") if given.block_hash else None
    receipt = decode(AnchorReceipt, _read(given.file), RECORD_LIMIT)
    shown, _ = check_receipt(receipt, Versions(workspace), block)
    name = shown.block_hash.hex()
    known = "as you named it" if block else "which you have to find at a source that you trust"
    what = f"the log had {shown.size} entries, root {shown.root.hex()}"
    return [
        f"ok  {what}",
        f"ok  by {when(shown.timestamp)}, in block {shown.block} of {receipt.chain}, 0x{name}, {known}",
    ]


def _proof(given: argparse.Namespace) -> list[str]:
    _, workspace = pinned(given)
    if workspace is None:
        raise LocalError("a proof is verified with --workspace", Reason.CONFIG_INVALID)
    entry, vouched = verify_entry_proof(_read(given.file), workspace)
    said = f"entry {entry.index}, {when(entry.at)}: {entry.event} {entry.subject}".rstrip()
    return [f"ok  {said}", f"ok  it stands in the log of {vouched.checkpoint.size} entries, {vouched.words}"]


def _conflict(given: argparse.Namespace) -> list[str]:
    _, workspace = pinned(given)
    if workspace is None:
        raise LocalError("a conflict is verified with --workspace", Reason.CONFIG_INVALID)
    conflict = decode(LogConflict, _read(given.file), RECORD_LIMIT)
    return [f"CONFIRMED {verify_conflict(conflict, [log_verifier(workspace)])}"]


def _ots(given: argparse.Namespace) -> list[str]:
    roots = {}
    for text in given.block:
        number, _, root = text.partition("=")
        if not number.isdecimal():
            raise Malformed("--block is a number, =, and the block's transactions root in hex")
        roots[int(number)] = _hash(root, "--block")

    def root_of(number: int) -> bytes:
        if number not in roots:
            raise Malformed(f"the proof names block {number}: give its transactions root by --block")
        return roots[number]

    body = read_note(_read(given.checkpoint)).body
    shown = verify_ots(_read(given.file), body, root_of)
    return [f"ok  the checkpoint is in block {number}" for number in shown.blocks]


def pinned(given: argparse.Namespace) -> tuple[bytes, Workspace | None]:
    """The digest that was agreed, and the workspace if its file is there. Raises `LocalError`, `Malformed`."""
    workspace = decode(Workspace, _read(given.workspace), WORKSPACE_LIMIT) if given.workspace is not None else None
    if given.digest:
        digest = _hash(given.digest, "--digest")
        if workspace is not None and workspace_digest(workspace) != digest:
            raise LocalError("the file is not the workspace of that digest", Reason.POLICY_VERSION_MISMATCH)
        return digest, workspace
    if workspace is None:
        raise LocalError("name what was agreed at the ceremony: --digest, or --workspace", Reason.CONFIG_INVALID)
    return workspace_digest(workspace), workspace


def _hash(text: str, option: str) -> bytes:
    try:
        data = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        data = b""
    if len(data) != 32:
        raise Malformed(f"{option} has 32 bytes in hex")
    return data


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise LocalError(f"cannot read {path.name}: {error.strerror}", Reason.CONFIG_INVALID) from None


def _say(line: str) -> None:
    print(line)


if __name__ == "__main__":
    sys.exit(main())
