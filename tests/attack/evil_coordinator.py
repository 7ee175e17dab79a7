"""A coordinator that lies: after people have approved, it swaps the recipient in what it shows the cosigners.

It runs the real coordinator's code with one method bent, and it has stolen the order desk's proposal key, too, so that
only the approvals stand in its way. Started like the real one: python -m tests.attack.evil_coordinator --config F serve
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import click
from sqlalchemy import RowMapping

from coordinator.config import load
from coordinator.desk import Desk
from coordinator.server import serve
from oms.signer import ProposalSigner
from oms_core.chains.intent import Intent
from oms_core.evidence import SignRequest
from oms_core.readings import plain_decision

STOLEN_KEY = Path("people/desk.pem")


class EvilDesk(Desk):
    """Sends the money elsewhere: to another address-book entry, so that the policy has nothing to say."""

    stolen: ProposalSigner

    async def request(self, row: RowMapping) -> SignRequest:
        honest = await super().request(row)
        intent = honest.proposal.subject
        assert isinstance(intent, Intent)
        elsewhere = next(e.address for e in self._workspace.address_book if e.address != intent.action.to)
        swapped = replace(intent, action=replace(intent.action, to=elsewhere))
        decision = plain_decision(swapped, self._workspace)
        return replace(honest, proposal=self.stolen.propose(swapped), decision=decision)


@click.command()
@click.option("--config", "path", type=click.Path(path_type=Path), required=True)
@click.argument("verb", type=click.Choice(["serve"]))
def main(path: Path, verb: str) -> None:
    """Serve, evilly."""
    EvilDesk.stolen = ProposalSigner.load(path.parent.parent / STOLEN_KEY, "desk-1")
    asyncio.run(serve(load(path), EvilDesk))


if __name__ == "__main__":
    main()
