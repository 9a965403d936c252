"""Jobs here, in worker processes, and what is said when there is no scheduler, no worker, or a worker keeps dying."""

import os

import pytest

from robnb import distributed
from robnb.distributed import check_scheduler, done
from robnb.errors import UserError


def square(number: int) -> int:
    return number * number


def refuse(number: int) -> int:
    raise UserError(f"the image {number} is broken: mend it.")


def die(number: int) -> int:
    os._exit(1)


def where(number: int) -> int:
    return os.getpid()


@pytest.fixture(scope="module")
def workers():
    """Two worker processes, shared by the tests."""
    yield {"scheduler": "local", "workers": 2}
    distributed.close()


def test_in_this_process():
    assert list(done(square, [3, 1, 2])) == [9, 1, 4]
    assert set(done(where, [1, 2])) == {os.getpid()}


def test_in_worker_processes_that_stay(workers):
    assert sorted(done(square, range(9), **workers)) == [n * n for n in range(9)]
    first, again = (set(done(where, range(20), **workers)) for _ in range(2))
    assert os.getpid() not in first | again and len(first | again) <= 2, "the second call starts no new ones"
    assert list(done(square, [], **workers)) == []


def test_what_a_job_raises_is_raised_here(workers):
    for how in ({}, workers):
        with pytest.raises(UserError, match="the image 4 is broken: mend it"):
            list(done(refuse, [4], **how))


@pytest.mark.slow
def test_a_job_that_kills_its_workers_is_given_up(workers):
    with pytest.raises(UserError, match=r"workers died again and again .* finished work is kept"):
        list(done(die, [1], **workers))
    assert list(done(square, [5], **workers)) == [25], "the others were replaced"


@pytest.mark.parametrize("scheduler", ["", "lokal", 8786, "10.0.0.1:8786", True])
def test_a_scheduler_that_cannot_be_meant(scheduler):
    with pytest.raises(UserError, match=r"it must be null .* local .* or the address"):
        check_scheduler(scheduler)
    for fine in (None, "local", "tcp://10.0.0.1:8786", "tls://host:1"):
        check_scheduler(fine)


def test_no_scheduler_answers_or_it_has_no_workers(monkeypatch):
    from distributed import LocalCluster

    monkeypatch.setattr(distributed, "PATIENCE", 1)
    with pytest.raises(UserError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9 .*: start one"):
        list(done(square, [1], "tcp://127.0.0.1:9"))
    with (
        LocalCluster(n_workers=0, processes=False, dashboard_address=":0") as cluster,
        pytest.raises(UserError, match="has no workers: start some"),
    ):
        list(done(square, [1], cluster.scheduler_address))
