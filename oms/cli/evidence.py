"""`oms evidence`: what convicts a cosigner, and the check that anybody can make, without a network."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from oms.cli.shared import call, show
from oms_core.encoding import decode, decode_one_of
from oms_core.errors import LocalError, ProofInvalid, Reason
from oms_core.protocol.accuse import CASE_LIMIT, Equivocation, SignedCase
from oms_core.protocol.judge import judge
from oms_core.workspace import Workspace, identities, member, workspace_digest
from oms_core.workspace.check import check_workspace
from proto import oms_pb2 as pb

_KINDS: tuple[type[Any], ...] = (SignedCase, Equivocation)


@click.group("evidence")
def group() -> None:
    """Proof that a cosigner lied."""


@group.command("list")
@click.pass_context
def list_all(context: click.Context) -> None:
    """All verdicts."""
    for one in call(context, lambda client, _: client.evidence()):
        show(context, one, [_line(one)])


@group.command()
@click.argument("evidence_id")
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.pass_context
def export(context: click.Context, evidence_id: str, out: Path) -> None:
    """Write the document that proves a verdict to a file."""
    one = call(context, lambda client, _: client.evidence_document(evidence_id))
    out.write_bytes(one.document)
    show(context, one, [f"{out}: {len(one.document)} bytes", _line(one)])


@group.command("verify-blame")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--workspace", "pinned", type=click.Path(path_type=Path), required=True, help="The pinned workspace.")
@click.option("--digest", default="", help="Its digest in hex, as agreed at the ceremony.")
def verify_blame(file: Path, pinned: Path, digest: str) -> None:
    """Judge evidence from public data alone: no network, no coordinator, no secret is needed."""
    workspace = decode(Workspace, _read(pinned), 4 << 20)
    check_workspace(workspace)
    if digest and workspace_digest(workspace).hex() != digest.lower():
        raise LocalError("the file is not the workspace of that digest", Reason.POLICY_VERSION_MISMATCH)
    accusation = decode_one_of(_KINDS, _read(file), CASE_LIMIT)
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


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise LocalError(f"cannot read {path.name}: {error.strerror}", Reason.CONFIG_INVALID) from None


def _line(one: pb.Evidence) -> str:
    at = datetime.fromtimestamp(one.at, UTC).strftime("%Y-%m-%d %H:%M:%S")
    state = "in quarantine" if one.quarantined else "pardoned"
    return f"{one.evidence_id}  {at}  cosigner {one.culprit} ({state}) at {one.step}: {one.reason}  [{one.about}]"
