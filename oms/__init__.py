"""Counterseal's client: an async SDK, a command line, and a network for development."""
