"""`oms status`: the network at a glance."""

from __future__ import annotations

import click

from oms.cli.shared import call, show
from proto import oms_pb2 as pb


@click.command()
@click.pass_context
def status(context: click.Context) -> None:
    """Cosigners, log, chain and open orders."""
    said = call(context, lambda client, _: client.status())
    chain = f"block {said.block_number}" if said.chain_reachable else "NOT REACHABLE"
    version = f"workspace version {said.version} {said.workspace.hex()[:16]}"
    lines = [f"{version}  chain {said.chain} {chain}  open orders {said.open_orders}"]
    lines += _log(said.log)
    for one in said.cosigners:
        heard = f"{one.latency_ms:6.1f} ms" if one.state == "ATTACHED" else ""
        refuses = (("QUARANTINED", one.quarantined), ("ROLLED_BACK", one.rolled_back), ("HALTED", one.halted))
        state = next((word for word, why in refuses if why), one.state)
        lines.append(f"  cosigner {one.index}  {one.name:12} {one.operator:12} {state:11} {heard}")
        if one.state in ("BEHIND", "AHEAD"):
            lines.append(f"    stands on version {one.version} of the workspace")
        if one.rolled_back:
            lines.append(f"    refuses everything: {one.rolled_back}")
        if one.halted:
            lines.append(f"    halted by its operator: {one.halted}")
        if one.state != "ABSENT" and one.log_size < said.log.size:
            lines.append(f"    has followed the log to {one.log_size} of {said.log.size} entries")
        if one.log_detail:
            lines.append(f"    log: {one.log_mode} {one.log_detail}".rstrip())
    for (wallet_id, path, quorum), (count, oldest, members) in sorted(_pools(said).items()):
        below = "".join(f"/{step}" for step in path)
        names = ",".join(map(str, quorum))
        at = ",".join(map(str, members))
        lines.append(f"  presignatures {wallet_id}{below} of {names}: {count}, oldest {oldest} s, held at {at}")
    show(context, said, lines)


def _log(log: pb.LogStatus) -> list[str]:
    """The log, who vouches for it, and what that is enough for."""
    means = {
        "FULL": "orders are signed, limits count in full",
        "DEGRADED": "orders are signed if their approvals name the exact transaction; limits are divided",
        "STOPPED": "NOTHING is signed",
    }
    lines = ["no head of the log is cosigned yet"]
    if log.size:
        head = f"log of {log.size} entries, root {log.root.hex()[:16]}"
        lines = [f"{head}, {log.cosignatures} cosignatures, {log.age_seconds:.0f} s old"]
    lines.append(f"  {log.mode}: {means.get(log.mode, '')}" + (f" ({log.detail})" if log.detail else ""))
    if log.conflict:
        lines.append(f"  TWO HISTORIES of the log: {log.conflict}")
    return lines


def _pools(
    said: pb.NetworkStatus,
) -> dict[tuple[str, tuple[int, ...], tuple[int, ...]], tuple[int, int, list[int]]]:
    """What is usable of the pools: what all reporting members hold, the oldest age in seconds, and who reports."""
    found: dict[tuple[str, tuple[int, ...], tuple[int, ...]], tuple[int, int, list[int]]] = {}
    for one in said.cosigners:
        for held in one.stock:
            key = (held.wallet_id, tuple(held.path), tuple(held.quorum))
            count, oldest, members = found.get(key, (held.count, 0, []))
            found[key] = (min(count, held.count), max(oldest, held.oldest_seconds), [*members, one.index])
    return found
