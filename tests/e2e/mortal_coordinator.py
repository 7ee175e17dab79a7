"""A coordinator that dies as soon as an order is in the state that the order's purpose names, once for each order.

It is killed when the state has been written and before anything else is done. Started like the real one:
python -m tests.e2e.mortal_coordinator --config F serve
"""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import click

from coordinator.config import load
from coordinator.desk import Desk
from coordinator.orders import intent_of
from coordinator.server import serve
from oms_core.lifecycle import State

WORDS = "the coordinator dies in "


class MortalDesk(Desk):
    """The real one, until then."""

    graves: Path

    async def review(self, order_id: str) -> None:
        await self._perhaps_die(order_id, State.SUBMITTED)
        await super().review(order_id)

    async def _move(self, order_id: str, was: State, to: State, note: str = "", **values: Any) -> None:
        await super()._move(order_id, was, to, note, **values)
        await self._perhaps_die(order_id, to)

    async def _perhaps_die(self, order_id: str, state: State) -> None:
        grave = self.graves / f"died-{order_id}"
        if intent_of(await self._store.order(order_id)).purpose == f"{WORDS}{state}" and not grave.exists():
            grave.touch()
            os.kill(os.getpid(), signal.SIGKILL)


@click.command()
@click.option("--config", "path", type=click.Path(path_type=Path), required=True)
@click.argument("verb", type=click.Choice(["serve"]))
def main(path: Path, verb: str) -> None:
    """Serve, for a while."""
    MortalDesk.graves = path.parent
    asyncio.run(serve(load(path), MortalDesk))


if __name__ == "__main__":
    main()
