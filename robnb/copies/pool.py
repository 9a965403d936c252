"""Running a function over many jobs in processes of one thread each."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import islice
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as wait_for
from typing import TypeVar

from robnb.errors import UserError
from robnb.threads import one_thread, set_threads

Job = TypeVar("Job")
Result = TypeVar("Result")


def results(function: Callable[[Job], Result], jobs: Iterable[Job], workers: int) -> Iterator[Result]:
    """``function(job)`` for every job, in the order in which they end; close the iterator to stop early.

    One worker is this process. More are processes of their own, started afresh ("spawn"), because a fork of a
    process in which torch or numba have started threads may hang.

    Raises:
        UserError: a worker was killed from outside, mostly for want of memory.
        Exception: whatever ``function`` raises.
    """
    if workers == 1:
        with one_thread():
            yield from map(function, jobs)
        return
    jobs = iter(jobs)
    context = multiprocessing.get_context("spawn")
    lifeline, held_here = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(workers, context, _begin_worker, (lifeline,))
    try:
        with _interrupts_ignored():  # what the workers inherit: Ctrl-C reaches all, and this process ends them
            pending = {pool.submit(function, job) for job in islice(jobs, 2 * workers)}
        while pending:
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            pending |= {pool.submit(function, job) for job in islice(jobs, len(done))}
            for future in done:
                yield future.result()
        pool.shutdown()
    except BrokenProcessPool as error:
        raise UserError(
            "a worker process was killed, mostly for want of memory: give fewer workers; finished work is kept."
        ) from error
    finally:
        held_here.close()
        pool.shutdown(cancel_futures=True)
        lifeline.close()


def _begin_worker(lifeline: Connection) -> None:
    set_threads(1, 1, 1)
    threading.Thread(target=_end_with, args=(lifeline,), daemon=True).start()


def _end_with(lifeline: Connection) -> None:
    """End this worker, whatever it is at, when the other end is closed: by a parent that stops, or by its death.

    A parent that is killed has no other way to end its workers, and they would wait for jobs for ever.
    """
    wait_for([lifeline])
    os._exit(1)


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
