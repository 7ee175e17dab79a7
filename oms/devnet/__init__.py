"""A whole network on this machine, as separate processes on loopback, for development, the demo and the tests."""

import os

# We start processes beside an open channel; gRPC's own fork handlers only complain about it.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
