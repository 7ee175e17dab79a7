"""`oms evidence`: what convicts a cosigner, and the check that anybody can make, without a network."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from auditor import trusted
from auditor.pack import Pack
from auditor.verify import verify_pack
from oms.cli.shared import call, show
from oms.cli.trusted import DIGEST, WORKSPACE, agreed, tell
from oms_core.encoding import KIND, decode, decode_one_of, encode
from oms_core.errors import LocalError, Malformed, ProofInvalid, Reason
from oms_core.log.conflict import LogConflict, verify_conflict
from oms_core.log.roster import log_verifier
from oms_core.protocol.accuse import CASE_LIMIT, Equivocation, SignedCase
from oms_core.protocol.judge import judge
from oms_core.workspace import Workspace, identities, member, workspace_digest
from oms_core.workspace.check import check_workspace
from proto import oms_pb2 as pb

_NAME, _HEADER = encode(KIND), 64  # bytes in which a document names its kind: the first of its keys
_KINDS: tuple[type[Any], ...] = (SignedCase, Equivocation)


@click.group("evidence")
def group() -> None:
    """Proof: of all that the log says of an order, that the log was told in two ways, that a cosigner lied."""


@group.command("list")
@click.pass_context
def list_all(context: click.Context) -> None:
    """All verdicts."""
    for one in call(context, lambda client, _: client.evidence()):
        show(context, one, [_line(one)])


@group.command()
@click.argument("evidence_id")
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True)
@click.pass_context
def export(context: click.Context, evidence_id: str, out: Path) -> None:
    """Write what proves a verdict, ev_…, or all that the log says of an order, txn_…, to a file."""
    if evidence_id.startswith("txn_"):
        pack = call(context, lambda client, _: client.evidence_pack(evidence_id))
        out.write_bytes(pack)
        click.echo(f"{out}: {len(pack)} bytes; see `oms evidence verify`")
        return
    one = call(context, lambda client, _: client.evidence_document(evidence_id))
    out.write_bytes(one.document)
    show(context, one, [f"{out}: {len(one.document)} bytes", _line(one)])


@group.command()
@click.argument("file", type=click.Path(path_type=Path))
@WORKSPACE
@DIGEST
@click.option("--block-hash", default="", help="Of the block of a pack's anchor, from a source that you trust.")
@click.pass_context
def verify(context: click.Context, file: Path, pinned: Path | None, digest: str, block_hash: str) -> None:
    """Verify evidence of whatever kind, offline: of an order, against the log, or against a cosigner."""
    known, workspace = agreed(context, pinned, digest)
    data = trusted.read_file(file)
    kind = kind_of(data)
    if kind is Pack:
        report = verify_pack(data, known, trusted.read_hash(block_hash, "--block-hash") if block_hash else None)
        tell(context, report.lines())
        return
    if workspace is None:
        raise LocalError("this kind of evidence is verified with --workspace", Reason.CONFIG_INVALID)
    if kind is LogConflict:
        click.echo(f"CONFIRMED: {verify_conflict(decode(LogConflict, data, CASE_LIMIT), [log_verifier(workspace)])}")
    else:
        _judge(data, workspace)


def kind_of(data: bytes) -> type[Any]:
    """What a document of evidence is about, by its kind. Raises `Malformed`."""
    known: tuple[type[Any], ...] = (Pack, LogConflict, *_KINDS)
    for kind in known:
        if _NAME + encode(kind.__kind__) in data[:_HEADER]:
            return kind
    raise Malformed("a file that is no evidence of any kind that is known", Reason.UNSUPPORTED_TYPE)


@group.command("verify-blame")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--workspace", "pinned", type=click.Path(path_type=Path), required=True, help="The pinned workspace.")
@click.option("--digest", default="", help="Its digest in hex, as agreed at the ceremony.")
def verify_blame(file: Path, pinned: Path, digest: str) -> None:
    """Judge evidence from public data alone: no network, no coordinator, no secret is needed."""
    workspace = trusted.read_workspace(pinned)
    check_workspace(workspace)
    trusted.agreed(workspace, digest)
    _judge(trusted.read_file(file), workspace)


def _judge(data: bytes, workspace: Workspace) -> None:
    accusation = decode_one_of(_KINDS, data, CASE_LIMIT)
    try:
        verdict = judge(accusation, identities(workspace))
    except ProofInvalid as error:
        raise ProofInvalid(f"this convicts nobody: {error.message}", error.reason) from error
    who = member(workspace, verdict.culprit)
    click.echo(f"CONFIRMED: cosigner {who.index} ({who.name}, {who.operator}) lied at {verdict.step}: {verdict.reason}")
    if isinstance(accusation, SignedCase):
        case = accusation.case
        click.echo(
            f"  accused by cosigner {case.accuser}; session {case.spec.session_id.hex()[:16]}, {case.spec.protocol}"
        )
    click.echo(f"  workspace {workspace.name} version {workspace.version} {workspace_digest(workspace).hex()}")


def _line(one: pb.Evidence) -> str:
    at = datetime.fromtimestamp(one.at, UTC).strftime("%Y-%m-%d %H:%M:%S")
    state = "in quarantine" if one.quarantined else "pardoned"
    return f"{one.evidence_id}  {at}  cosigner {one.culprit} ({state}) at {one.step}: {one.reason}  [{one.about}]"
