"""Where work is done: in this process, in worker processes here, or on a Dask cluster.

Work is a function and a list of jobs that can be pickled. What the jobs make lies in the store, which every worker has
to see at the same path; only small answers travel. A worker that dies does not matter: its job is given to another.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

import torch

from robnb.errors import UserError
from robnb.threads import set_threads

if TYPE_CHECKING:
    from distributed import Client

Job = TypeVar("Job")
Answer = TypeVar("Answer")
#: Seconds to wait for a cluster's scheduler, and for its first worker.
PATIENCE = 60


def check_scheduler(scheduler: str | None) -> None:
    """Raises a UserError unless ``scheduler`` is None, "local" or the address of a Dask scheduler."""
    known = scheduler is None or scheduler == "local"
    if not known and not (isinstance(scheduler, str) and "://" in scheduler):
        raise UserError(
            f"scheduler is {scheduler!r}: it must be null (this process), local (worker processes here) or the address "
            "of a Dask scheduler, such as tcp://10.0.0.1:8786."
        )


def done(
    function: Callable[[Job], Answer], jobs: Sequence[Job], scheduler: str | None = None, workers: int = 1
) -> Iterator[Answer]:
    """``function(job)`` of every job, in the order in which they end. Close the iterator to stop early.

    Args:
        scheduler: None for this process; "local" for ``workers`` processes of this machine; or an address.
        workers: for "local".

    Raises:
        UserError: no such scheduler; no worker; workers died again and again at one job; or what a job raised.
    """
    check_scheduler(scheduler)
    if scheduler is None or not jobs:
        yield from map(function, jobs)
    else:
        yield from _answers(_connected(scheduler, max(1, workers)), function, jobs)


_clients: dict[tuple[str, int], Client] = {}


def _connected(scheduler: str, workers: int) -> Client:
    """The client of a scheduler, kept until this process ends, and with it the workers and what they have loaded."""
    key = (scheduler, workers if scheduler == "local" else 0)
    if key not in _clients or _clients[key].status != "running":
        _clients[key] = _client(scheduler, workers)
    return _clients[key]


def close() -> None:
    """Let go of every scheduler; worker processes that were started here end."""
    while _clients:
        _, client = _clients.popitem()
        cluster = client.cluster
        client.close()
        if cluster is not None:
            cluster.close()


def _client(scheduler: str, workers: int) -> Client:
    from distributed import Client, LocalCluster

    where: str | LocalCluster = scheduler
    if scheduler == "local":
        where = LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            memory_limit=0,  # Dask's default would pause a worker for what a large model needs
            dashboard_address=":0",
            silence_logs=logging.ERROR,
        )
    try:
        client = Client(where, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError) as error:
        raise UserError(f"no Dask scheduler answers at {scheduler} ({error}): start one, or correct it.") from error
    try:
        client.wait_for_workers(1, timeout=PATIENCE)
    except TimeoutError as error:
        client.close()
        raise UserError(f"the Dask scheduler at {scheduler} has no workers: start some.") from error
    return client


def _answers(client: Client, function: Callable[[Job], Answer], jobs: Sequence[Job]) -> Iterator[Answer]:
    from distributed import KilledWorker, as_completed

    futures = client.map(_on_worker, [function] * len(jobs), jobs, pure=False)
    try:
        for future in as_completed(futures, loop=client.loop):
            try:
                yield future.result()
            except KilledWorker as error:
                raise UserError(
                    "workers died again and again at the same piece of work, mostly for want of memory: start fewer on "
                    "a machine, or use larger machines; finished work is kept."
                ) from error
            future.release()
    finally:
        client.cancel(futures)


def _on_worker(function: Callable[[Job], Answer], job: Job) -> Answer:
    from distributed import get_worker

    threads = get_worker().state.nthreads
    set_threads(threads, threads, threads)
    return function(job)


def device() -> torch.device:
    """What this process computes on: the first GPU, or on a worker the one that falls to it by its number."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    try:
        from distributed import get_worker

        number = int(str(get_worker().name).rsplit("-", 1)[-1])
    except (ValueError, ImportError):  # not a worker, or one with a name of its own
        number = 0
    return torch.device("cuda", number % torch.cuda.device_count())
