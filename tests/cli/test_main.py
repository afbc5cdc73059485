"""What every command promises: one line and exit code 2 for a mistake of the user's, 70 with a traceback for ours."""

import errno
import os
import pickle
import subprocess
import sys
import types
from pathlib import Path

import pytest

from vergence import errors
from vergence.cli import main as command_line
from vergence.cli.main import main
from vergence.errors import ConfigError, MissingExtraError, VergenceError
from vergence.studies.pool import Teller, _guarded

ROOT = Path(__file__).parents[2]


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line that a refused command prints."""
    try:
        code = main(arguments)
    except SystemExit as stop:
        code = stop.code
    captured = capsys.readouterr()
    assert code == 2, captured.err
    assert captured.out == ""
    assert captured.err.count("\n") == 1, captured.err
    assert not {c for c in captured.err if ord(c) < 32} - {"\n"}
    return captured.err


def command(*arguments: str, redirect: str = "", **environment: str | None) -> subprocess.CompletedProcess[bytes]:
    """Run the command line in a process of its own, under a shell that may redirect its output."""
    known = {**os.environ, "PYTHONPATH": str(ROOT / "src"), **environment}
    given = {name: value for name, value in known.items() if value is not None}
    shell = ["bash", "-c", f'"$0" -m vergence "$@" {redirect}', sys.executable, *arguments]
    return subprocess.run(shell, capture_output=True, env=given, check=False)


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch):
    """A command that does what a test wants."""

    def install(act) -> None:
        module = types.SimpleNamespace(DESCRIPTION="x", add_options=lambda parser: None, run=lambda options: act())
        monkeypatch.setattr(command_line, "_COMMANDS", {"demo": module})

    return install


def raising(error: BaseException):
    def act() -> None:
        raise error

    return act


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (ConfigError("a\x1b[31m must be b"), 2, r"vergence: error: a\x1b[31m must be b"),
        (KeyboardInterrupt(), 130, "vergence: interrupted"),
        (MemoryError(), 2, "not enough memory for this"),
        (
            RuntimeError("CPUAllocator: can't allocate memory: you tried 1 bytes"),
            2,
            "not enough memory for this",
        ),
        (OSError(errno.ENOSPC, "No space left on device", "x.bin"), 2, "cannot write x.bin: No space left on device"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), 2, "cannot write: Disk quota exceeded"),
    ],
)
def test_each_end_has_its_code_and_one_line(capsys, broken, error: BaseException, code: int, said: str) -> None:
    broken(raising(error))
    assert main(["demo"]) == code
    line = capsys.readouterr().err
    assert said in line
    assert line.count("\n") == 1


@pytest.mark.parametrize("error", [KeyError("x\x1b[31m"), OSError(errno.EACCES, "Permission denied"), TypeError("y")])
def test_a_mistake_of_ours_keeps_its_traceback_and_says_so(capsys, broken, error: Exception) -> None:
    broken(raising(error))
    assert main(["demo"]) == 70
    said = capsys.readouterr().err
    assert "Traceback (most recent call last)" in said
    assert type(error).__name__ in said
    assert "this is a mistake of vergence, not of yours" in said
    assert "\x1b" not in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["d\x1b[31mmo"], r"invalid choice: 'd\x1b[31mmo'"),
        (["demo", "--out", "x", "--fl\x1b[2Jag"], r"--fl\x1b[2Jag"),
        (["demo", "--out", "x", "--seed", "9" * 23], "seed must be"),
        (["demo", "--out", "x", "--seed", "9" * 5000], "seed"),
        (["demo", "--out", "x", "--seed", "1.5"], "seed"),
        (["train", "--seed", "9" * 23, "--out", "x"], "seed must be"),
        (["study", "run"], "name a study to run: "),
        (["study", "run", "nonsense"], "unknown study 'nonsense'; known: "),
        (["study", "run", "forecast", "--seeds", "0"], "seeds must be >= 1; got 0"),
        (["study", "run", "forecast", "--seeds", "9" * 23], "seeds must be <= 1,000; got 9999"),
        (
            ["study", "run", "numeric-selection", "--seeds", str(10**12)],
            "seeds must be <= 1,000; got 10000",
        ),
        (["study", "run", "forecast", "--scale", "huge"], "unknown scale 'huge'; known: "),
        (["study", "run", "forecast", "--workers", "0"], "workers must be >= 1; got 0"),
        (["study", "run", "numeric-selection", "--workers", "-1"], "workers must be >= 1; got -1"),
        (["lexicon", "show", "nowhere.yaml"], "nowhere.yaml"),
        (["lexicon", "show", "concepts-146", "--out", "/"], "cannot write /: it is a folder"),
        (["lexicon", "show", "concepts-146", "--out", "/dev/null/x"], "cannot write /dev/null/x: "),
        (["lexicon", "from-wordnet", "dog"], "a synset is written lemma.pos.number"),
        (["train"], "--out is missing"),
        (["train", "--out", "a" * 300, "--data.items", "64", "--train.batch_size", "8"], "File name too long"),
    ],
)
def test_what_is_asked_for_wrongly_is_one_line(
    capsys, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert said in refused(capsys, *arguments)
    assert list(tmp_path.iterdir()) == []


def test_a_reader_that_ends_early_and_a_full_disk_are_no_mistake_of_ours() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    arguments = [sys.executable, "-m", "vergence", "lexicon", "show", "concepts-146"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(arguments, stdout=writing, stderr=subprocess.PIPE, env=environment, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")
    for arguments in (["--help"], ["lexicon", "show", "concepts-146"]):
        done = command(*arguments, redirect="> /dev/full")
        assert done.returncode == 2
        assert done.stderr == b"vergence: error: cannot write to standard output: No space left on device\n"


@pytest.mark.parametrize(
    "environment",
    [
        {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"PYTHONIOENCODING": "ascii"},
        {"HOME": None, "MPLCONFIGDIR": None, "XDG_CACHE_HOME": None},
    ],
)
def test_a_poor_environment_is_enough(environment: dict[str, str | None]) -> None:
    done = command("study", "list", **environment)
    assert (done.returncode, done.stderr) == (0, b"")
    assert command("study", "list", redirect=">&-", **environment).returncode == 0


def test_kernels_compile_where_nothing_can_be_kept(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a dog\n")
    done = command("audit", str(tmp_path / "a.txt"), "--out", str(tmp_path / "out"), NUMBA_CACHE_DIR="/proc/nowhere")
    assert done.returncode == 0, done.stderr.decode()
    assert b"cannot cache" not in done.stderr


def every_error() -> list[VergenceError]:
    kinds, found = [VergenceError], []
    while kinds:
        kind = kinds.pop()
        kinds += kind.__subclasses__()
        found.append(kind("package", "extra") if kind is MissingExtraError else kind("said"))
    return found


@pytest.mark.parametrize("error", every_error(), ids=lambda error: type(error).__name__)
def test_every_error_passes_between_processes(error: VergenceError) -> None:
    same = pickle.loads(pickle.dumps(error))
    assert type(same) is type(error)
    assert str(same) == str(error)


class StubbornError(Exception):
    """Cannot be made again from its message."""

    def __init__(self, where: str, what: str) -> None:
        super().__init__(f"{where}: {what}")


def test_an_error_that_cannot_pass_between_processes_is_told_in_words() -> None:
    def work(run: int, tell: object) -> None:
        raise StubbornError("here", f"run {run}")

    with pytest.raises(RuntimeError, match=r"Traceback(.|\n)*StubbornError: here: run 3"):
        _guarded(work, 3, Teller(None, "run"))
    with pytest.raises(ConfigError, match="as it was"):
        _guarded(raising_with_arguments, 3, Teller(None, "run"))


def raising_with_arguments(run: int, tell: object) -> None:
    raise ConfigError("as it was")


def test_all_errors_of_the_package_are_known_here() -> None:
    assert {type(error).__name__ for error in every_error()} >= {
        name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, VergenceError)
    }
