"""`make bench`: every figure, or those whose groups are named, as in python -m bench keys presigning."""

from __future__ import annotations

import sys

from bench.audit import audit
from bench.backtest import backtest
from bench.blame import blame, resharing
from bench.guard import guard
from bench.log import log
from bench.orders import orders
from bench.policy import policy
from bench.protocol import keys, presigning
from bench.replay import replay
from bench.report import show

GROUPS = {
    "policy": policy,
    "guard": guard,
    "log": log,
    "audit": audit,
    "replay": replay,
    "backtest": backtest,
    "keys": keys,
    "resharing": resharing,
    "presigning": presigning,
    "blame": blame,
    "orders": orders,
}


def main() -> None:
    """Print figures as they are measured."""
    for name in sys.argv[1:] or GROUPS:
        show(GROUPS[name]())


if __name__ == "__main__":
    main()
