"""`robnb run all`, with real kernels: lanes, failures, kills, and what a second command does."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import tiny

from robnb.cli import main
from robnb.rounds import display, journal
from robnb.rounds.display import Display, clock
from robnb.rounds.entries import prepare_all

#: Records when it ran, with how many threads and which ``steps``.
RECORDS = """\
import json
folder = Path(outputs) / profile
begun = time.time()
{does}
record = json.dumps([begun, time.time(), os.environ["OMP_NUM_THREADS"], steps])
(folder / f"{name}{{variation}}.json").write_text(record)"""
#: Says that it is here, and waits for another notebook to be there at the same time.
MEETS = """\
(folder / "{name}.here").touch()
while not (folder / "{other}.here").exists():
    time.sleep(0.05)"""


def records(name: str, meets: str = "") -> str:
    return RECORDS.format(name=name, does=MEETS.format(name=name, other=meets) if meets else "print(1)")


def make(root: Path, name: str, *cells: str) -> None:
    """A tiny notebook that has variations."""
    tiny.make(root, *cells, name=name)
    path = root / "notebooks" / f"{name}.py"
    path.write_text(path.read_text().replace("steps = 2 ", 'variation = ""  # its name\nsteps = 2 '))


def write_list(root: Path, text: str) -> None:
    (root / "params/smoke/all.yaml").write_text(text)


def command(root: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "robnb.cli", "run", "all", "--root", str(root), "--profile", "smoke", *arguments]


def run_all(root: Path, *arguments: str) -> subprocess.CompletedProcess:
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    return subprocess.run(command(root, *arguments), capture_output=True, text=True, timeout=300, env=environment)


def recorded(root: Path, name: str) -> tuple[float, float, str, int]:
    """When it began and ended, its threads and steps."""
    return json.loads((root / "outputs/smoke" / f"{name}.json").read_text())


def summary(done: subprocess.CompletedProcess) -> dict[str, str]:
    """How each notebook ended, from the table."""
    lines = done.stdout.split("\n\n")[0].splitlines()[1:]
    return {line.split()[0]: re.split(r" {2,}", line)[1] for line in lines}


# ---- A round with failures, and the same command when one of them has been put right

LIST = """\
notebooks: [01_fine, 02_bad_input, 03_fails]
variations:
  long: {notebooks: [01_fine], parameters: {steps: 9}}
after_all: [04_last]
"""
NAMES = ("01_fine", "01_finelong", "03_fails", "04_last")


@pytest.fixture(scope="module")
def rounds(tmp_path_factory):
    """The folder, both commands, and what their notebooks recorded."""
    root = tmp_path_factory.mktemp("round")
    make(root, "01_fine", records("01_fine", meets="03_fails"))
    make(root, "02_bad_input", "from robnb.errors import UserError\nraise UserError('no such thing: name another.')")
    make(root, "03_fails", records("03_fails", meets="01_fine"), "1 / 0")
    make(root, "04_last", records("04_last"))
    write_list(root, LIST)
    done, at = [], []
    for lanes in ("2", "1"):
        done.append(run_all(root, "--lanes", lanes, "-p", "steps", "7", "--execution-timeout", "60"))
        at.append({name: recorded(root, name) for name in NAMES})
        make(root, "03_fails", records("03_fails"))
    return root, done, at


def test_a_failed_notebook_stops_no_other(rounds):
    _, (first, _), _ = rounds
    assert summary(first) == {
        "01_fine": "finished",
        "02_bad_input": "failed",
        "03_fails": "failed",
        "01_fine@long": "finished",
        "04_last": "finished",
    }
    assert "robnb: 02_bad_input: no such thing: name another.\n" in first.stderr
    assert "ZeroDivisionError: division by zero" in first.stderr and "cell 5 failed" in first.stderr
    assert "03_fails.failed.ipynb" in first.stdout


def test_the_exit_code_tells_bad_input_from_a_failure(rounds):
    _, done, _ = rounds
    assert [each.returncode for each in done] == [1, 2], "a notebook that failed; bad input alone"


def test_two_lanes_run_at_once_and_the_last_waits_for_all(rounds):
    """01_fine and 03_fails end only where both are there."""
    _, _, (at, _) = rounds
    assert at["04_last"][0] > max(at[name][1] for name in NAMES[:3])


def test_the_lanes_share_the_cores(rounds):
    _, _, at = rounds
    cores = len(os.sched_getaffinity(0))
    assert [of["03_fails"][2] for of in at] == [str(max(1, cores // 2)), str(cores)], "two lanes, then one"


def test_a_variation_keeps_its_own_parameter_and_its_own_folder(rounds):
    root, _, (at, _) = rounds
    assert (at["01_fine"][3], at["01_finelong"][3]) == (7, 9), "-p goes before the profile's, not before a variation's"
    for folder in ("01_fine", "01_fine@long"):
        assert (root / "outputs/smoke" / folder / "01_fine.html").is_file()


def test_the_same_command_goes_on(rounds):
    root, (_, second), (before, after) = rounds
    assert summary(second) == {
        "01_fine": "read from before",
        "02_bad_input": "failed",
        "03_fails": "finished",
        "01_fine@long": "read from before",
        "04_last": "finished",
    }
    assert after["01_fine"] == before["01_fine"], "it was not executed again"
    assert after["04_last"][0] > before["04_last"][1], "what it reads has changed, so it was"
    assert (root / "outputs/smoke/.all.json").is_file(), "one has yet to finish"


def test_a_log_has_a_line_for_each_event_and_nothing_of_the_lanes(rounds):
    _, (first, _), _ = rounds
    events, _, rest = first.stderr.partition("robnb: ")
    assert rest.startswith("02_bad_input: ")
    assert all(re.fullmatch(r"\d\d:\d\d  .+", line) for line in events.splitlines()), events
    for line in ("01_fine started", "02_bad_input failed: no such thing: name another. in 00:"):
        assert line in events
    assert re.search(r"03_fails failed: cell 5 failed with ZeroDivisionError\. in 00:\d\d\n", events)


def test_the_page_is_written_at_the_end(rounds):
    root, done, _ = rounds
    page = root / "outputs/smoke/index.html"
    assert all(each.stdout.endswith(f"page  {page}\n") for each in done)
    assert "01_fine%40long/01_fine.html" in page.read_text()


# ---- Ends


@contextmanager
def running(root: Path, lanes: str, *names: str):
    """The command in the middle of these notebooks' last cells, and their lanes and kernels."""
    for name in names:
        (root / name).unlink(missing_ok=True)
    process = subprocess.Popen(command(root, "--lanes", lanes), stderr=subprocess.PIPE, text=True)
    wait_until(lambda: all((root / name).exists() and (root / name).read_text() for name in names))
    try:
        yield process, [int(pid) for name in names for pid in (root / name).read_text().split()]
    finally:
        process.kill()
        process.communicate()


def wait_until(condition) -> None:
    for _ in range(2400):
        if condition():
            return
        time.sleep(0.05)
    pytest.fail("waited in vain")


def is_gone(pid: int) -> bool:
    """Ended, even if what adopted the process has not yet asked how."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_however_a_round_ends_its_processes_end_too_and_the_same_command_goes_on(tmp_path, capsys):
    """One notebook is finished and others take minutes when SIGTERM comes, then Ctrl-C, then SIGKILL."""
    make(tmp_path, "00_quick", "print(1)")
    for name in ("01_long", "02_long"):
        here = repr(str(tmp_path / name))
        make(tmp_path, name, f"Path({here}).write_text(f'{{os.getpid()}} {{os.getppid()}}'); time.sleep(300)")
    write_list(tmp_path, "notebooks: [00_quick, 01_long, 02_long]\n")
    journal_of_round = tmp_path / "outputs/smoke/.all.json"
    for sent, code in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
        with running(tmp_path, "1", "01_long") as (process, pids):
            process.send_signal(sent)
            _, stderr = process.communicate(timeout=60)
            assert process.returncode == code
            assert all(map(is_gone, pids)), "the command waits for its lanes"
        assert stderr.endswith("robnb: interrupted; finished work is kept, and the same command goes on from there.\n")
        assert "Traceback" not in stderr and list(json.loads(journal_of_round.read_text())) == ["00_quick"]
    with running(tmp_path, "2", "01_long", "02_long") as (process, pids):
        assert len(set(pids)) == 4
        assert main(command(tmp_path)[3:]) == 2
        assert "another robnb is running all notebooks" in capsys.readouterr().err
        process.kill()
        process.wait()
        wait_until(lambda: all(map(is_gone, pids)))
    for name in ("01_long", "02_long"):
        make(tmp_path, name, "print(1)")
    done = run_all(tmp_path, "--lanes", "2")
    assert done.returncode == 0, done.stderr
    assert summary(done) == {"00_quick": "read from before", "01_long": "finished", "02_long": "finished"}
    assert not journal_of_round.exists(), "a complete round is forgotten"


# ---- What is refused, before anything is started


@pytest.fixture
def refused(capsys):
    def run(root: Path, says: str, *arguments: str) -> None:
        assert main(command(root, *arguments)[3:]) == 2
        captured = capsys.readouterr()
        (line,) = captured.err.splitlines()
        assert line.startswith("robnb: ") and line.endswith(".") and says in line, line
        assert captured.out == "" and not (root / "outputs").exists()

    return run


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("notebooks: [01_fien]", "smoke/all.yaml: notebooks: unknown notebook '01_fien': did you mean '01_fine'?"),
        ("notebook: [01_fine]", "params/smoke/all.yaml: unknown key 'notebook': did you mean 'notebooks'?"),
        ("notebooks: 01_fine", "notebooks should be a list"),
        ("notebooks: [01_fine, 01_fine]", "lists 01_fine 2 times"),
        ("notebooks: []", "lists no notebook"),
        ("notebooks: [02_other]", "the profile smoke has no parameters for 02_other"),
        ("variations: {long: {notebooks: [01_fine]}}", "all.yaml: long has no parameters"),
        ("variations: {long: {parameters: {steps: 3}}}", "all.yaml: long has no notebooks"),
        ("variations: {long: {notebooks: [01_fine], parameter: {steps: 3}}}", "unknown key 'parameter'"),
        ("variations: {long: {notebooks: [01_fine], parameters: [steps]}}", "parameters should hold `name: value`"),
        ("variations: {long: {notebooks: [01_fine], parameters: {steps: x}}}", "long: steps should be a whole number"),
        ("variations: {long: {notebooks: [01_fine], parameters: {stepz: 3}}}", "did you mean 'steps'?"),
        ("variations: {a/b: {notebooks: [01_fine], parameters: {steps: 3}}}", "variation is 'a/b'"),
        ("variations: {long: {notebooks: [03_plain], parameters: {steps: 3}}}", "it has no variations"),
        ("variations: [long]", "variations should hold"),
    ],
)
def test_a_list_that_cannot_be_meant_is_refused(tmp_path, refused, text, says):
    make(tmp_path, "01_fine")
    make(tmp_path, "02_other")
    (tmp_path / "params/smoke/02_other.yaml").unlink()
    tiny.make(tmp_path, name="03_plain")
    write_list(tmp_path, text)
    refused(tmp_path, says)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--profile", "smok"), "unknown profile 'smok': did you mean 'smoke'?"),
        (("--lanes", "0"), "--lanes is 0"),
        (("--variation", "x"), "--variation goes with one notebook"),
        (("-p", "stepz", "1"), "-p: unknown parameter 'stepz': did you mean 'steps'?"),
        (("-p", "steps", "many"), "-p: steps should be a whole number"),
        (("-p", "outputs", "x"), "use --outputs"),
    ],
)
def test_bad_input_that_concerns_all_is_found_first(tmp_path, refused, arguments, says):
    make(tmp_path, "01_fine")
    write_list(tmp_path, "notebooks: [01_fine]")
    refused(tmp_path, says, *arguments)


def test_a_parameter_file_that_does_not_fit_is_found_first(tmp_path, refused):
    make(tmp_path, "01_fine")
    make(tmp_path, "02_fine")
    write_list(tmp_path, "notebooks: [01_fine, 02_fine]")
    (tmp_path / "params/smoke/02_fine.yaml").write_text("stepz: 1\n")
    refused(tmp_path, "params/smoke/02_fine.yaml: unknown parameter 'stepz'")
    (tmp_path / "params/smoke/02_fine.yaml").write_text("variation: mine\n")
    refused(tmp_path, "variation cannot be set there: use --variation.")


# ---- Parts


def test_the_journal_knows_what_a_result_depends_on(tmp_path, monkeypatch):
    make(tmp_path, "01_fine")
    make(tmp_path, "02_last")
    write_list(tmp_path, "notebooks: [01_fine]\nafter_all: [02_last]")

    def entries(**overrides: object) -> list:
        return prepare_all("smoke", tmp_path / "outputs", tmp_path, overrides)

    first, last = entries()
    first.job.folder.mkdir(parents=True)
    kept = journal.Journal(tmp_path)
    kept.note(first, kept.state(first))
    assert not kept.has(first), "there is no executed notebook"
    for entry in (first, last):
        entry.job.folder.mkdir(parents=True, exist_ok=True)
        (entry.job.folder / f"{entry.name}.ipynb").touch()
    kept.note(last, kept.state(last))
    assert journal.Journal(tmp_path).has(first) and journal.Journal(tmp_path).has(last)
    assert not kept.has(entries(steps=5)[0])
    before = kept.state(first)
    make(tmp_path, "01_fine", "print(2)")
    assert not kept.has(first)
    kept.note(first, before)
    assert not kept.has(first), "it was edited while it ran"
    kept.note(first, kept.state(first))
    assert kept.has(first) and not kept.has(last), "it read what has been made again"
    monkeypatch.setattr(journal, "sources", lambda: "other")
    assert not journal.Journal(tmp_path).has(first)
    (tmp_path / ".all.json").write_text("{")
    assert not journal.Journal(tmp_path).has(first)
    (tmp_path / ".all.part").mkdir()  # a journal that cannot be written
    kept.note(first, kept.state(first))
    assert kept.has(first) and (tmp_path / ".all.json").read_text() == "{"


class Terminal(io.StringIO):
    """A terminal that understands what the display writes: what stands on it at the end, line by line."""

    def isatty(self) -> bool:
        return True

    def screen(self) -> list[str]:
        lines, row = [""], 0
        for mark, text in re.findall(r"(\x1b\[\d*[AKJ]|\r|\n)|([^\x1b\r\n]+)", self.getvalue()):
            if mark.endswith("A"):
                row -= int(mark[2:-1])
            elif mark.endswith("J"):
                del lines[row:]
                lines.append("")
            elif mark == "\n":
                row += 1
                lines += [""] * (row == len(lines))
            elif text:
                lines[row] = text
        return lines


def test_on_a_terminal_the_running_notebooks_are_one_block(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(display.shutil, "get_terminal_size", lambda: os.terminal_size((60, 24)))
    with Display(3) as shown:
        shown.started("01_a")
        shown.started("02_b")
        shown.at("01_a", "Upstream", "step 3 of 9 " + "x" * 100, 4, 20)
        shown.tick()
        assert terminal.screen()[0] == "0/3 notebooks, 00:00"
        assert terminal.screen()[1].startswith("  01_a  4/20  Upstream: step 3 of 9 xxx")
        assert len(terminal.screen()[1]) == 59 and terminal.screen()[2:] == ["  02_b  0/?  starting", ""]
        shown.ended("01_a", "finished")
        assert terminal.screen() == [
            "00:00  01_a finished in 00:00", "1/3 notebooks, 00:00", "  02_b  0/?  starting", "",
        ]  # fmt: skip
    assert terminal.screen() == ["00:00  01_a finished in 00:00", ""]


def test_a_log_has_a_section_at_most_once_a_minute(monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr(display.time, "monotonic", lambda: now[0])
    shown = Display(1)
    shown.started("01_a")
    for second in range(0, 200, 10):
        now[0] = float(second)
        shown.at("01_a", f"Section {second}", "", 1, 2)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "00:00  01_a started", "01:00  01_a: Section 60", "02:00  01_a: Section 120", "03:00  01_a: Section 180",
    ]  # fmt: skip


def test_times_are_written_as_clocks():
    assert [clock(seconds) for seconds in (5.9, 754, 3723)] == ["00:05", "12:34", "1:02:03"]


ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("profile", ["smoke", "mini", "lab", "paper"])
def test_the_lists_of_the_profiles_fit(profile, tmp_path):
    """Every notebook of the paper's sections is in it, and variations are in folders of their own."""
    entries = prepare_all(profile, tmp_path, ROOT)
    names = [entry.name for entry in entries]
    assert {"01_fixed_feature", "02_full_network", "03_model_size", "06_prime"} <= set(names)
    assert len(names) == len(set(names))
    assert all((ROOT / "params" / profile / f"{entry.job.source.stem}.yaml").is_file() for entry in entries)
