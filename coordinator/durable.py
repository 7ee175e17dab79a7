"""Durable execution on DBOS: an order's or a wallet's way is a workflow whose steps are done once each.

A killed coordinator resumes every workflow at its first unfinished step. Steps can therefore run again after a crash,
and each is written so that this repeats nothing with an effect. Values are stored as JSON, never pickled: who can write
to the database must not be able to run code here. No telemetry, no hosted control plane.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import structlog
from dbos import DBOS, DBOSConfig, DBOSPortableJSONSerializer, SetWorkflowID

from oms_core.errors import NotFound, Reason
from oms_core.lifecycle import IllegalTransition

APPLICATION_VERSION = "1"  # orders survive upgrades: raised only together with a plan for those under way

_LONGEST_PAUSE = 60.0  # seconds
_OVER = ("SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED")

log = structlog.get_logger()

Step = tuple[str, Callable[[str], Awaitable[None]]]

_ways: dict[str, tuple[Step, ...]] = {}
_loop: asyncio.AbstractEventLoop | None = None


@DBOS.workflow(name="way", max_recovery_attempts=None)
async def _way(kind: str, subject_id: str) -> None:
    steps = _ways[kind]
    for number, (name, _) in enumerate(steps, 1):
        at_last = number == len(steps)
        await DBOS.run_step_async({"name": name}, _run, steps[0 if at_last else number - 1 : number], subject_id)


async def _run(steps: tuple[Step, ...], subject_id: str) -> None:
    """Recovered workflows run on a loop of DBOS's own; the work belongs to the loop of our streams.

    The last step begins with all those before it: our own tables may have been put back to before what durable
    execution remembers as done.
    """
    work: Coroutine[Any, Any, None] = _insist_on(steps, subject_id)
    if _loop is None or asyncio.get_running_loop() is _loop:
        await work
    else:
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, _loop))


async def _insist_on(steps: tuple[Step, ...], subject_id: str) -> None:
    for _, step in steps:
        await _insist(step, subject_id)


async def _insist(step: Callable[[str], Awaitable[None]], subject_id: str) -> None:
    """A step that raises would end its workflow, and the order with it: note what went wrong, and try again.

    Nothing is left to do for what a database that was put back does not know: it begins again where it is known again.
    """
    pause = 1.0
    while True:
        try:
            await step(subject_id)
        except IllegalTransition as error:
            log.info("moved on by somebody else", subject=subject_id, detail=error.message)  # the step reads it again
        except Exception as error:
            if isinstance(error, NotFound) and error.reason is Reason.UNKNOWN_TRANSACTION:
                log.warning("what was on its way is not in the database", subject=subject_id)
                return
            log.exception("step failed", subject=subject_id, kind=type(error).__name__)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
        else:
            return


def launch(name: str, url: str, executor_id: str, ways: dict[str, tuple[Step, ...]]) -> None:
    """Start, and resume what a former run left. Call on the event loop that serves the streams."""
    global _loop
    _loop = asyncio.get_running_loop()
    _ways.update(ways)
    config: DBOSConfig = {
        "name": name,
        "system_database_url": url,
        "application_version": APPLICATION_VERSION,
        "executor_id": executor_id,
        "serializer": DBOSPortableJSONSerializer(),
        "enable_otlp": False,
        "log_level": "WARNING",
    }
    DBOS(config=config)
    DBOS.launch()


async def begin(kind: str, subject_id: str) -> None:
    """Start a way; the subject's id makes it one, however often it is begun."""
    await _start(f"{kind}-{subject_id}", kind, subject_id)


async def resume(kind: str, subject_id: str) -> None:
    """Start the way of what has not ended, unless it is on its way: a database that was put back may lack it."""
    for number in itertools.count():
        name = f"{kind}-{subject_id}" + (f"-{number}" if number else "")
        if (known := await DBOS.get_workflow_status_async(name)) is None:
            await _start(name, kind, subject_id)
            return
        if known.status not in _OVER:
            return


async def _start(name: str, kind: str, subject_id: str) -> None:
    with SetWorkflowID(name):
        await DBOS.start_workflow_async(_way, kind, subject_id)


def close() -> None:
    """Stop; unfinished ways are resumed by the next launch."""
    DBOS.destroy()
