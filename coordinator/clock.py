"""What time it is for the log: by this machine's clock, as far as the witnesses' clocks agree with it.

Nodes do not follow an entry before its time has come, and never one from before they have cosigned without it. So one
entry under a wrong clock would stop all signing. A clock that is behind is not believed; under one that is ahead,
nothing is written down.
"""

from __future__ import annotations

import time
from weakref import WeakKeyDictionary

from sqlalchemy import Engine

from oms_core.chains.intent import CLOCK_SKEW
from oms_core.errors import Reason, Unavailable

AHEAD = CLOCK_SKEW // 2  # seconds before the witnesses: nodes with slower clocks still take it
AWAY = 300  # seconds that a coordinator may have been away without asking them anew
LATELY = 600  # seconds for which a witness's word counts at least, once there is a newer one


class LogClock:
    """One database's. All times are in Unix seconds."""

    def __init__(self) -> None:
        self._leads: list[float] = []  # what an honest witness's clock was ahead of `_running` at most: before, lately
        self._began = float("-inf")
        self._floor = 0

    def now(self) -> int:
        """What an entry is dated now. Raises `Unavailable` (LOG_STALE) if the clock cannot be right."""
        if trouble := self.trouble():
            raise Unavailable(trouble, Reason.LOG_STALE)
        return max(int(time.time()), self._said())

    def trouble(self) -> str:
        """Why nothing may be dated now; empty if it may."""
        ahead = int(time.time()) - self._said()
        if self._leads and ahead > AHEAD:
            return f"this coordinator's clock is {ahead} seconds ahead of its cosigners': nothing is written down"
        if not self._leads and self._floor and ahead > AWAY:
            return f"nothing is written down before cosigners say what time it is: {ahead} seconds since they last did"
        return ""

    def asked_at(self) -> int:
        """For a question to witnesses; 0 as long as they have not said what time it is."""
        return max(int(time.time()), self._said()) if self._leads else 0

    def vouched(self, at: int) -> None:
        """An honest witness's clock shows this now: nothing is dated earlier from now on.

        What one showed long ago is forgotten: this machine's counter may run faster, and no entry is to come.
        """
        running = _running()
        if running - self._began > LATELY:
            self._leads, self._began = [*self._leads[-1:], at - running], running
        self._leads[-1] = max(self._leads[-1], at - running)

    def recalled(self, at: int) -> None:
        """An honest witness's clock showed this before the process began: how long ago is not known."""
        self._floor = max(at, self._floor)

    def _said(self) -> int:
        return max(self._floor, int(max(self._leads) + _running())) if self._leads else self._floor


def _running() -> float:
    """Seconds of a clock that nobody sets, and that suspending does not stop."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


_clocks: WeakKeyDictionary[Engine, LogClock] = WeakKeyDictionary()


def clock_of(engine: Engine) -> LogClock:
    """The clock of a database's log: all who append through this process go by one."""
    return _clocks.setdefault(engine, LogClock())
