"""What is printed is what the data say, and no command to the terminal."""

import io
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.text import Text

from vergence.terminal import bars, console, grid, plain, plain_warnings, printable, say, show

ROOT = Path(__file__).parents[1]
HOSTILE = "a\x1b[31mb\x07\u202ec\u2066\x9b2J\r[blond]:smile:\ud800\x00"
SHOWN = r"a\x1b[31mb\x07\u202ec\u2066\x9b2J\r[blond]:smile:\ud800\x00"


def run(code: str, *, redirect: str = "", **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Run Python in a process of its own."""
    command = ["bash", "-c", f'exec "$0" -c "$1" {redirect}', sys.executable, code]
    known = {**os.environ, "PYTHONPATH": str(ROOT / "src"), **environment}
    return subprocess.run(command, capture_output=True, env=known, check=False)


def test_control_characters_are_shown_and_letters_of_all_scripts_left_alone() -> None:
    assert printable(HOSTILE) == SHOWN
    assert printable("süß 猫 שלום 👩\u200d🌾 a\nb", keep="\n") == "süß 猫 שלום 👩\u200d🌾 a\nb"


@given(st.text())
def test_what_is_printable_holds_no_control_and_stays_the_same_when_it_is_made_so_again(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable() or not {c for c in shown if ord(c) < 32 or 0x7F <= ord(c) < 0xA0}
    assert printable(shown) == shown
    shown.encode()


def test_lines_and_cells_are_printed_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    say(HOSTILE, "x" * 300)
    say(HOSTILE, err=True)
    show(grid([HOSTILE], [[HOSTILE], [Text(HOSTILE)]], title=HOSTILE), plain(HOSTILE), Text(HOSTILE), width=200)
    printed = capsys.readouterr()
    assert printed.out.startswith(f"{SHOWN}\n{'x' * 300}\n")
    assert printed.err == f"{SHOWN}\n"
    assert printed.out.count("[blond]:smile:") == 7
    assert not {c for c in printed.out if ord(c) < 32} - {"\n"}


def test_a_bar_is_described_by_text_and_not_by_markup() -> None:
    display = bars()
    display.add_task(HOSTILE, total=1)
    file = io.StringIO()
    where = console(width=200, file=file)
    where.print(display.get_renderable())
    assert r"a\x1b[31mb" in file.getvalue()
    assert "[blond]" in file.getvalue()
    assert "\x1b" not in file.getvalue()


def test_columns_named_to_the_left_may_come_from_an_iterator(capsys: pytest.CaptureFixture[str]) -> None:
    show(grid(["name", "sort"], [["long name", "kind"], ["a", "b"]], left=iter(["name", "sort"]), box=None))
    assert capsys.readouterr().out.splitlines()[2].rstrip() == " a          b"


def test_a_warning_is_one_line_without_the_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    plain_warnings()
    assert warnings.formatwarning(UserWarning("a\nb\x1b"), UserWarning, "x.py", 1) == (
        "vergence: warning: a\\nb\\x1b\n"
    )


@pytest.mark.parametrize("environment", [{"LC_ALL": "C", "PYTHONUTF8": "0"}, {"PYTHONIOENCODING": "ascii"}])
def test_an_encoding_that_lacks_a_letter_gets_an_escape(environment: dict[str, str]) -> None:
    done = run(
        "from vergence.terminal import *; say('R\\xb2 \\u732b'); say('\\xb2', err=True);"
        "show(grid(['R\\xb2'], [['\\u2013']]))",
        **{"PYTHONCOERCECLOCALE": "0", **environment},
    )
    assert (done.returncode, done.stderr.count(b"Error")) == (0, 0), done.stderr
    done.stdout.decode("ascii" if "PYTHONIOENCODING" in environment else "utf-8")


def test_a_closed_output_takes_nothing_and_a_full_one_is_said_in_a_line() -> None:
    assert run("from vergence.terminal import *; say('a'); show('b'); flush()", redirect=">&-").returncode == 0
    for what in ("say('a')", "show('a')"):
        done = run(f"from vergence.terminal import *; {what}", redirect="> /dev/full")
        assert b"OutputError: cannot write to standard output: No space left on device" in done.stderr
        assert b"Exception ignored" not in done.stderr


def test_only_one_module_prints() -> None:
    found = []
    for path in (ROOT / "src" / "vergence").rglob("*.py"):
        name = path.relative_to(ROOT / "src" / "vergence").as_posix()
        lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith((">>>", "..."))]
        prints = [word for word in (" print(", "Console(", "sys.stdout", "sys.stderr") if word in "\n".join(lines)]
        if prints and name != "terminal.py":
            found.append((name, prints))
    assert found == []
