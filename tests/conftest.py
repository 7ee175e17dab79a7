"""What all tests share: settings only. Fixtures live beside the tests that use them."""

from __future__ import annotations

from hypothesis import settings

# Two busy cores make any deadline a coin toss, and pytest-timeout guards against what hangs. A failure prints how to
# make it again, since tests run in random order.
settings.register_profile("counterseal", deadline=None, print_blob=True)
settings.load_profile("counterseal")
