"""Safe primes in reserve, found by a low-priority process of their own: a search would hold up the event loop."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from oms_core.crypto.params import Level
from oms_core.crypto.primes import safe_prime
from oms_core.protocol.auxinfo import Primes


class PrimeReserve:
    """Keeps one set of four primes ready, in memory only; each set is used once."""

    def __init__(self, level: Level) -> None:
        self._level = level
        context, mine = get_context("spawn"), (os.getpid(),)
        self._pool = ProcessPoolExecutor(1, mp_context=context, initializer=_as_servant, initargs=mine)
        self._ready: dict[str, asyncio.Task[Primes]] = {}

    def prepare(self, level: Level | None = None) -> None:
        """Begin to look for a set, unless one is there or under way."""
        level = level or self._level
        if level.name not in self._ready:
            self._ready[level.name] = asyncio.create_task(self._search(level))

    async def take(self, level: Level) -> Primes:
        """A fresh set, as soon as it is found."""
        self.prepare(level)
        task = self._ready[level.name]
        found = await asyncio.shield(task)
        if self._ready.get(level.name) is not task:
            return await self.take(level)
        del self._ready[level.name]
        self.prepare(level)
        return found

    async def _search(self, level: Level) -> Primes:
        loop = asyncio.get_running_loop()
        found: list[int] = []
        while len(found) < 4:
            prime = await loop.run_in_executor(self._pool, safe_prime, level.prime_bits)
            if prime not in found:
                found.append(prime)
        return found[0], found[1], found[2], found[3]

    def close(self) -> None:
        """Stop searching."""
        for task in self._ready.values():
            task.cancel()
        for process in list(self._pool._processes.values()):  # noqa: SLF001 - a search cannot be interrupted otherwise
            process.terminate()
        self._pool.shutdown(wait=False, cancel_futures=True)


def _as_servant(master: int) -> None:
    """Yield to others, and die with the enclave even if that is killed, be it before this is set up."""
    os.nice(10)
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() != master:
        os._exit(0)
