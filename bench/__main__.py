"""`make bench`: every figure, or those whose group is named: python -m bench [keys|presigning|orders]…"""

from __future__ import annotations

import sys

from bench.orders import orders
from bench.protocol import keys, presigning

GROUPS = {"keys": keys, "presigning": presigning, "orders": orders}


def main() -> None:
    """Print figures as they are measured."""
    for name in sys.argv[1:] or GROUPS:
        for figure in GROUPS[name]():
            print(figure.line(), flush=True)


if __name__ == "__main__":
    main()
