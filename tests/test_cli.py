"""`robnb run`, with real kernels: what it leaves, how it ends, and what it says when it cannot go on."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
import tiny

import robnb
from robnb.cli import main

DEFINES_USER_ERROR = (
    "from robnb.errors import UserError\nraise UserError(\"unknown backbone 'x': choose another one.\")"
)


def robnb_run(root: Path, *arguments: str, name: str = "01_tiny") -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "robnb.cli", "run", name, "--root", str(root), "--profile", "smoke", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.fixture
def refused(capsys):
    """Run in this process, which takes no kernel; expect exit code 2 and one sentence with this in it."""

    def run(root: Path, says: str, *arguments: str, name: str = "01_tiny") -> None:
        code = main(["run", name, "--root", str(root), "--profile", "smoke", *arguments])
        captured = capsys.readouterr()
        assert_refused(subprocess.CompletedProcess([], code, captured.out, captured.err), says)

    return run


def products(root: Path) -> Path:
    return root / "outputs" / "smoke" / "01_tiny"


def assert_refused(done: subprocess.CompletedProcess, says: str) -> None:
    """Exit code 2 and one sentence, which is all that is printed (but for the bar of a run that had begun)."""
    assert done.returncode == 2, done.stderr
    sentences = [line for line in done.stderr.splitlines() if not line.endswith("]")]
    assert len(sentences) == 1 and sentences[0].startswith("robnb: ") and says in sentences[0], done.stderr
    assert sentences[0].endswith(".") and done.stdout == ""


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    root = tiny.make(tmp_path_factory.mktemp("a {name} with spaces"), "print(sys.executable)", tiny.WRITES_SUMMARY)
    return root, robnb_run(root, "-p", "lr", "1e-3", name="01")


def test_a_run_prints_the_table_and_where_everything_is(good):
    root, done = good
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[:2] == ["backbone    P  mPC", " regular 50.0    3"]
    for name in ("01_tiny.ipynb", "01_tiny.html", "figures/drop.png"):
        assert str(products(root) / name) in done.stdout
        assert (products(root) / name).is_file()
    assert "Part" in done.stderr, "the bar goes to stderr, with the name of the section"


def test_the_executed_notebook_is_valid_and_by_this_interpreter(good):
    notebook = nbformat.read(products(good[0]) / "01_tiny.ipynb", as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata.papermill.parameters == {
        "lr": 0.001,
        "steps": 3,
        "profile": "smoke",
        "outputs": str(good[0] / "outputs"),
    }
    assert notebook.metadata.papermill.output_path == str(products(good[0]) / "01_tiny.ipynb")
    printed = [output.text for cell in notebook.cells for output in cell.get("outputs", []) if "text" in output]
    assert printed[0].strip() == sys.executable


def test_the_html_needs_no_network(good):
    html = (products(good[0]) / "01_tiny.html").read_text()
    assert "<h2" in html
    assert not [tag for tag in ('src="http', 'href="http://', "import('http", "cdnjs", "unpkg") if tag in html]


def test_nothing_else_is_left_behind(good):
    assert sorted(path.name for path in products(good[0]).iterdir()) == [
        ".lock",
        "01_tiny.html",
        "01_tiny.ipynb",
        "figures",
        "summary.csv",
    ]


def test_a_failing_cell_ends_with_1_and_keeps_what_was_executed(tmp_path):
    tiny.make(tmp_path, "print('before')", "1 / 0", "print('after')")
    done = robnb_run(tmp_path)
    assert done.returncode == 1
    assert "ZeroDivisionError: division by zero" in done.stderr
    failed = products(tmp_path) / "01_tiny.failed.ipynb"
    assert str(failed) in done.stderr and "before" in failed.read_text()
    assert not (products(tmp_path) / "01_tiny.ipynb").exists()
    tiny.make(tmp_path, "print('before')")
    assert robnb_run(tmp_path).returncode == 0
    assert not failed.exists(), "a good run takes away what the failed one left"


def test_bad_input_found_by_a_cell_is_one_sentence(tmp_path):
    tiny.make(tmp_path, DEFINES_USER_ERROR)
    assert_refused(robnb_run(tmp_path), "robnb: unknown backbone 'x': choose another one.")
    assert not list(products(tmp_path).glob("*.ipynb"))


@pytest.mark.parametrize(
    ("cell", "says"),
    [("os._exit(9)", "the kernel died"), ("sys.exit(0)", "sys.exit()"), ("time.sleep(60)", "took longer than the 2 s")],
    ids=["dead kernel", "exit", "timeout"],
)
def test_a_notebook_that_does_not_reach_its_end_is_never_taken_for_finished(tmp_path, cell, says):
    tiny.make(tmp_path, cell, "print('after')")
    done = robnb_run(tmp_path, "--execution-timeout", "2")
    assert done.returncode == 1
    assert says in done.stderr and "Traceback" not in done.stderr
    notebook = nbformat.read(products(tmp_path) / "01_tiny.failed.ipynb", as_version=4)
    assert notebook.metadata.papermill.exception is True
    assert notebook.cells[-1].metadata.papermill.status == "pending"
    assert not (products(tmp_path) / "01_tiny.ipynb").exists()


@pytest.mark.parametrize(
    ("params", "arguments", "says"),
    [
        ("stepz: 1\n", (), "params/smoke/01_tiny.yaml: unknown parameter 'stepz': did you mean 'steps'?"),
        ("lr: 1e-3\n", (), "YAML reads 1e-3 as text, write 1.0e-3."),
        ("lr: [1\n", (), "is not YAML"),
        ("- lr\n", (), "should hold `name: value` lines"),
        ("lr: 1.0\n", ("-p", "lr", "fast"), "-p: lr should be a number, not the text 'fast'."),
        ("lr: 1.0\n", ("-p", "profile", "paper"), "use --profile"),
        ("lr: 1.0\n", ("--variation", "x"), "01_tiny has no parameter variation"),
        ("lr: 1.0\n", ("--lanes", "2"), "--lanes is for `robnb run all`"),
        ("lr: 1.0\n", ("--profile", "smok"), "unknown profile 'smok': did you mean 'smoke'?"),
    ],
)
def test_bad_parameters_are_refused_before_a_kernel_starts(tmp_path, refused, params, arguments, says):
    tiny.make(tmp_path, "print(1)", params=params)
    refused(tmp_path, says, *arguments)
    assert not (tmp_path / "outputs").exists()


def test_a_variation_has_a_folder_of_its_own(tmp_path, refused):
    """The same notebook with another name for its products, which only --variation gives it."""
    tiny.make(tmp_path, "print('this is', variation)")
    notebook = tmp_path / "notebooks/01_tiny.py"
    notebook.write_text(notebook.read_text().replace("steps = 2 ", 'variation = ""  # its name\nsteps = 2 '))
    refused(tmp_path, "-p variation cannot be set: use --variation.", "-p", "variation", "more")
    refused(tmp_path, "use letters, digits", "--variation", "../more")
    (tmp_path / "params/smoke/01_tiny.yaml").write_text("variation: more\n")
    refused(tmp_path, "params/smoke/01_tiny.yaml: variation cannot be set there: use --variation.")
    (tmp_path / "params/smoke/01_tiny.yaml").write_text("lr: 1.0\n")
    done = robnb_run(tmp_path, "--variation", "more", "-p", "steps", "5")
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "outputs/smoke/01_tiny@more"
    assert f"html      {folder / '01_tiny.html'}" in done.stdout
    assert "this is more" in (folder / "01_tiny.ipynb").read_text()
    assert not products(tmp_path).exists()


def test_unknown_and_ambiguous_notebooks_name_the_choices(tmp_path, refused):
    tiny.make(tmp_path)
    tiny.make(tmp_path, name="01_tall")
    refused(tmp_path, "unknown notebook '02_tiny': did you mean '01_tiny'?", name="02_tiny")
    refused(tmp_path, "'01' could be 01_tall or 01_tiny", name="01")
    (tmp_path / "params/smoke/01_tall.yaml").unlink()
    refused(tmp_path, "the profile smoke has no parameters for 01_tall", name="01_tall")


def test_an_outputs_folder_that_cannot_be_written_is_refused(tmp_path, refused):
    tiny.make(tmp_path)
    (tmp_path / "file").write_text("")
    refused(tmp_path, "give another one with --outputs.", "--outputs", str(tmp_path / "file" / "below"))


@pytest.fixture
def long_run(tmp_path):
    """A run in the middle of a cell that takes a minute, and the id of its kernel."""
    cell = f"Path({str(tmp_path / 'pid')!r}).write_text(str(os.getpid())); time.sleep(60)"
    tiny.make(tmp_path, cell)
    command = [sys.executable, "-m", "robnb.cli", "run", "01", "--root", str(tmp_path), "--profile", "smoke"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
    yield tmp_path, process, int((tmp_path / "pid").read_text())
    process.kill()
    process.communicate()


def wait_until(condition) -> None:
    """Fail after half a minute, long after what is waited for should be true."""
    for _ in range(600):
        if condition():
            return
        time.sleep(0.05)
    pytest.fail("waited in vain")


def is_gone(pid: int) -> bool:
    """Ended, even if what adopted the process has not yet asked how."""
    status = Path(f"/proc/{pid}/stat")
    try:
        return status.read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_a_killed_run_leaves_no_kernel_and_no_notebook_at_the_final_name(long_run, refused):
    root, process, kernel = long_run
    refused(root, "another robnb is running this notebook")
    process.kill()
    process.wait()
    wait_until(lambda: is_gone(kernel))
    assert not (products(root) / "01_tiny.ipynb").exists()
    tiny.make(root, "print(1)")
    assert robnb_run(root).returncode == 0, "the same command works again"


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["ctrl-c", "term"])
def test_an_interrupted_run_says_how_to_go_on(long_run, sent, code):
    root, process, kernel = long_run
    os.kill(process.pid, sent)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == code
    assert stderr.endswith("robnb: interrupted; finished work is kept, and the same command goes on from there.\n")
    assert "Traceback" not in stderr
    wait_until(lambda: is_gone(kernel))
    assert not list(products(root).glob("*.ipynb"))


def test_version_and_help():
    run = [sys.executable, "-m", "robnb.cli"]
    assert subprocess.check_output([*run, "--version"], text=True) == f"robnb {robnb.__version__}\n"
    assert "robnb run 01_fixed_feature --profile smoke" in subprocess.check_output([*run, "run", "--help"], text=True)
    assert subprocess.run(run, capture_output=True).returncode == 2


@pytest.mark.parametrize("command", [[], ["run"], ["plan"], ["status"], ["export"], ["corrupt"], ["report"]])
def test_help_does_not_wait_for_torch(command):
    shows_help = f"import sys; from robnb.cli import main; sys.argv[0] = 'robnb'; main({[*command, '--help']})"
    says = "import atexit, sys; atexit.register(lambda: print('torch', 'torch' in sys.modules, 'numpy' in sys.modules))"
    done = subprocess.run([sys.executable, "-c", f"{says}; {shows_help}"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: robnb") and done.stdout.endswith("torch False False\n")
