"""`oms status`: the network at a glance."""

from __future__ import annotations

import click

from oms.cli.shared import call, show


@click.command()
@click.pass_context
def status(context: click.Context) -> None:
    """Cosigners, chain and open orders."""
    said = call(context, lambda client, _: client.status())
    chain = f"block {said.block_number}" if said.chain_reachable else "NOT REACHABLE"
    lines = [f"workspace {said.workspace.hex()[:16]}  chain {said.chain} {chain}  open orders {said.open_orders}"]
    for one in said.cosigners:
        heard = f"{one.latency_ms:6.1f} ms" if one.state == "ATTACHED" else ""
        lines.append(f"  cosigner {one.index}  {one.name:12} {one.operator:12} {one.state:9} {heard}")
    show(context, said, lines)
