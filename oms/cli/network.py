"""`oms status`: the network at a glance."""

from __future__ import annotations

import click

from oms.cli.shared import call, show
from proto import oms_pb2 as pb


@click.command()
@click.pass_context
def status(context: click.Context) -> None:
    """Cosigners, chain and open orders."""
    said = call(context, lambda client, _: client.status())
    chain = f"block {said.block_number}" if said.chain_reachable else "NOT REACHABLE"
    lines = [f"workspace {said.workspace.hex()[:16]}  chain {said.chain} {chain}  open orders {said.open_orders}"]
    for one in said.cosigners:
        heard = f"{one.latency_ms:6.1f} ms" if one.state == "ATTACHED" else ""
        state = "QUARANTINED" if one.quarantined else "ROLLED_BACK" if one.rolled_back else one.state
        lines.append(f"  cosigner {one.index}  {one.name:12} {one.operator:12} {state:11} {heard}")
        if one.rolled_back:
            lines.append(f"    refuses everything: {one.rolled_back}")
    for held, members in sorted(_pools(said).items()):
        wallet_id, path, quorum, count, oldest = held
        below = "".join(f"/{step}" for step in path)
        names = ",".join(map(str, quorum))
        at = ",".join(map(str, members))
        lines.append(f"  presignatures {wallet_id}{below} of {names}: {count}, oldest {oldest} s, held at {at}")
    show(context, said, lines)


def _pools(said: pb.NetworkStatus) -> dict[tuple[str, tuple[int, ...], tuple[int, ...], int, int], list[int]]:
    """What the pools hold, with who reports it. Equal reports are one line."""
    found: dict[tuple[str, tuple[int, ...], tuple[int, ...], int, int], list[int]] = {}
    for one in said.cosigners:
        for held in one.stock:
            key = (held.wallet_id, tuple(held.path), tuple(held.quorum), held.count, held.oldest_seconds)
            found.setdefault(key, []).append(one.index)
    return found
