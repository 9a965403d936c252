"""The store: keys, atomic results, and what a kill leaves behind."""

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from typing import ClassVar

import pytest

from robnb.errors import UserError
from robnb.store import Spec, Store, write_json


@dataclass(frozen=True)
class Work(Spec):
    kind: ClassVar[str] = "work"
    name: str = "a"
    size: float = 1


@dataclass(frozen=True)
class NextWork(Work):
    version: ClassVar[int] = 2


def test_a_key_tells_apart_what_differs():
    specs = [Work(), Work(name="b"), Work(size=2), NextWork()]
    assert len({spec.key for spec in specs}) == 4
    assert Work().key == Work("a", 1).key


def test_finished_work_is_kept_and_not_repeated(tmp_path):
    store = Store(tmp_path)
    assert not store.has(Work())
    store.put(Work(), {"value": 1})
    store.put(Work(), {"value": 2})
    assert Store(tmp_path).read(Work()) == {"value": 1}
    with store.work(Work()) as folder:
        assert folder is None
    stamp = store.read(Work(), "provenance.json")
    assert stamp["versions"]["torch"] and stamp["device"] and stamp["seconds"] >= 0
    assert store.read(Work(), "spec.json") == {"kind": "work", "version": 1, "name": "a", "size": 1}


def test_work_that_fails_is_not_a_result_but_keeps_its_scratch(tmp_path):
    store = Store(tmp_path)
    with pytest.raises(RuntimeError), store.work(Work()) as folder:
        (folder / "scratch" / "resume.pth").write_text("half way")
        raise RuntimeError
    assert not store.has(Work())
    with store.work(Work()) as folder:
        assert (folder / "scratch" / "resume.pth").read_text() == "half way"
    assert not (store.folder(Work()) / "scratch").exists()


@pytest.mark.parametrize("moment", ["spec.json", "model.json", "result.json"])
def test_a_file_that_a_kill_left_half_written_is_no_part_of_the_result(tmp_path, moment):
    """The process ends between the writing of a file and its renaming; the next one finishes the work."""
    store, child = Store(tmp_path), os.fork()
    if child == 0:
        replace = os.replace
        os.replace = lambda source, target: os._exit(7) if target.name == moment else replace(source, target)
        with store.work(Work()) as folder:
            write_json(folder / "model.json", {})
            write_json(folder / "result.json", {})
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert len(list(tmp_path.glob("unfinished/*/.*.part"))) == 1
    store.put(Work(), {"value": 1})
    left = {path.name for path in store.folder(Work()).iterdir()}
    assert left - {"model.json"} == {"spec.json", "result.json", "provenance.json"}


def test_a_missing_score_cannot_pass_for_a_number(tmp_path):
    with pytest.raises(ValueError):
        write_json(tmp_path / "x.json", {"value": float("nan")})
    assert not list(tmp_path.iterdir()), "and nothing half-written is left"


def test_guards(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write to the output folder"):
        Store(tmp_path / "file" / "below")
    store = Store(tmp_path)
    with pytest.raises(UserError, match="has not been computed yet"):
        store.read(Work())
    store.put(Work(), {})
    (store.folder(Work()) / "result.json").write_text('{"val')
    with pytest.raises(UserError, match=r"is damaged; delete the folder .* and run again"):
        store.read(Work())


def test_a_full_disk_is_said_clearly(tmp_path):
    store = Store(tmp_path)
    with pytest.raises(UserError, match=r"no space left .* finished work is kept"), store.work(Work()):
        raise OSError(28, "No space left on device")
    with pytest.raises(OSError, match="other"), store.work(Work()):
        raise OSError(5, "other")


def test_two_processes_do_the_work_once(tmp_path):
    """The second waits for the first and then finds it finished; a killed holder does not block the next."""
    code = f"""
import sys
sys.path.insert(0, {os.path.dirname(__file__)!r})
from test_store import Store, Work
with Store({str(tmp_path)!r}).work(Work()) as folder:
    if folder is not None:
        print("working", flush=True)
        sys.stdin.readline()
"""

    def start() -> subprocess.Popen:
        return subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    killed = start()
    assert killed.stdout.readline() == "working\n"
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    first = start()
    assert first.stdout.readline() == "working\n"
    second = start()
    assert second.stdout.readline().startswith("waiting for another run")
    first.communicate("enough\n", timeout=60)
    assert second.communicate(timeout=60)[0] == ""
    assert first.returncode == second.returncode == 0
    assert Store(tmp_path).has(Work())
