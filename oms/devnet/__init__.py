"""A whole network on this machine, as separate processes on loopback, for development, the demo and the tests."""
