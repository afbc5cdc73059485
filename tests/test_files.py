"""The door to the disk: what is misread in silence elsewhere is refused, and a name never stands for half a file."""

import codecs
import errno
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st

from vergence.errors import CorpusError, OutputError
from vergence.files import (
    decode,
    parse_json,
    parse_yaml,
    read_bytes,
    read_json,
    read_text,
    remove_partials,
    whole,
    write_bytes,
    write_json,
    write_text,
    yaml_text,
)
from vergence.tensors import read_tensors, write_tensors

ROOT = Path(__file__).parents[1]
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    ("mark", "encoding"),
    [
        (b"", "utf-8"),
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (codecs.BOM_UTF32_LE, "utf-32-le"),
        (codecs.BOM_UTF32_BE, "utf-32-be"),
    ],
)
def test_text_is_decoded_by_its_mark(tmp_path: Path, mark: bytes, encoding: str) -> None:
    (tmp_path / "a.yaml").write_bytes(mark + "süß: 猫\n".encode(encoding))
    assert parse_yaml(read_text(tmp_path / "a.yaml"), where="a.yaml") == {"süß": "猫"}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("dog".encode("utf-16-le"), "holds NUL, so it is no text in UTF-8; save it as UTF-8"),
        ("ä".encode("latin-1"), r"not UTF-8 text \(unexpected end of data at byte 0\)"),
        (codecs.BOM_UTF16_LE + b"\x00\xd8", r"not UTF-16-LE text"),
        (codecs.BOM_UTF16_LE + b"a", r"not UTF-16-LE text \(truncated data at byte 0\)"),
    ],
)
def test_what_is_no_text_is_refused_by_name(data: bytes, message: str) -> None:
    with pytest.raises(CorpusError, match=f"^a.txt: {message}"):
        decode(data, where="a.txt")


def test_what_cannot_be_read_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"a" * 11)
    os.mkfifo(tmp_path / "pipe")
    for path, message in {
        tmp_path: "is no file; name an existing file",
        tmp_path / "pipe": "is no file",
        tmp_path / "none": "does not exist; name an existing file",
        tmp_path / "large" / "below": "does not exist",
        tmp_path / "large": "has more than 10 bytes, the most that are read of such a file",
        tmp_path / ("a" * 300): "cannot be read: File name too long",
        Path("a\0b"): "does not exist",
        Path("/proc/self/mem"): "cannot be read: ",
    }.items():
        with pytest.raises(CorpusError, match=message) as caught:
            read_bytes(path, limit=10)
        assert "\n" not in str(caught.value)
    assert len(read_bytes("/proc/self/status")) > 10  # its size is said to be 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not valid JSON"),
        ('{"a": 1', "not valid JSON"),
        ('{"a": 1, "b": {"a": 2, "a": 3}}', "not valid JSON: the key 'a' comes twice"),
        ("[NaN]", "NaN is no number in JSON"),
        ("[-Infinity]", "-Infinity is no number in JSON"),
        ("[1e999]", "1e999 is too large for a number"),
        ("1" * 5000, "not valid JSON: Exceeds the limit"),
        ('["\\ud800"]', "holds a lone surrogate"),
        ('["\ud800"]', "holds a lone surrogate"),
        ("[" * 100_000, "nested more than 64 levels deep"),
        ("[" * 65 + "]" * 65, "nested more than 64 levels deep"),
        ('{"a":' * 65 + "1" + "}" * 65, "nested more than 64 levels deep"),
    ],
)
def test_json_that_others_misread_is_refused(text: str, message: str) -> None:
    with pytest.raises(CorpusError, match=f"^x.json: .*{message}"):
        parse_json(text, where="x.json")


def test_json_may_be_as_deep_as_it_says_and_hold_pairs_of_surrogates() -> None:
    assert parse_json('["\\ud83d\\ude00"]', where="x.json") == ["😀"]
    parse_json("[" * 64 + "]" * 64, where="x.json")


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9)
)
CHAIN = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} {'[' * 30}*a{n - 1}{']' * 30}\n" for n in range(1, 4))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: {b: [", r":1: not valid YAML"),
        ("a:\n\t- b", ":2: not valid YAML: found character '\\\\t' that cannot start any token"),
        ("a: 1\nb: 2\na: 3", ":3: 'a' comes twice in one mapping; the first is in line 1"),
        ("a: {b: 1, b: 2}", ":1: 'b' comes twice"),
        ("- a: 1\n  'a': 2", ":2: 'a' comes twice"),
        ("a: !!python/object/apply:os.system [ls]", ":1: the tag 'tag:yaml.org,2002:python/object/apply:os.system'"),
        (BOMB, ": its aliases repeat parts of it too often; write them out"),
        ("a: &a [*a]", ": its aliases repeat parts of it too often"),
        (CHAIN, ": its aliases nest it more than 64 levels deep"),
        ("[" * 5000, ":1: nested more than 64 levels deep"),
        ("- " * 5000 + "a", ":1: nested more than 64 levels deep"),
        ("a: 1" + "0" * 5000, ": not valid YAML: Exceeds the limit"),
        ('a: "\\uD800"', ":1: holds a lone surrogate"),
        ('a: "\\UFFFFFFFF"', ": not valid YAML"),
        ("a: \x07", ": not valid YAML: "),
        ("a: 1\n---\nb: 2", ":2: not valid YAML"),
        ("? [a]\n: b", ":1: not valid YAML: found unhashable key"),
        ("a: *b", ":1: not valid YAML: found undefined alias"),
    ],
)
def test_yaml_that_is_no_plain_document_is_refused_with_its_line(text: str, message: str) -> None:
    with pytest.raises(CorpusError, match=f"^x.yaml{message}") as caught:
        parse_yaml(text, where="x.yaml")
    assert "\n" not in str(caught.value)


def test_scalars_are_those_of_yaml_1_2() -> None:
    text = "[1e-3, 1E5, 2.5e3, .5, 010, 0x10, 0o10, -7, .inf, true, no, on, 12:30:45, 1_000, 2026-11-25, ~, null, Null]"
    found = parse_yaml(text, where="x.yaml")
    assert found[:4] == [0.001, 1e5, 2500.0, 0.5]
    assert found[4:10] == [10, 16, 8, -7, float("inf"), True]
    assert found[10:] == ["no", "on", "12:30:45", "1_000", "2026-11-25", None, None, None]
    assert parse_yaml("", where="x.yaml") is None
    assert parse_yaml("a: &a {b: 1}\nc: {<<: *a, d: 2}", where="x.yaml")["c"] == {"b": 1, "d": 2}


@given(PLAIN)
def test_yaml_that_is_written_is_read_back_by_this_reader_and_by_others(content) -> None:
    text = yaml_text(content)
    assert parse_yaml(text, where="x.yaml") == content
    assert yaml.safe_load(text) == content


@given(st.text(alphabet="ab0-:,[]{}&*!|>'\"%@ \n\t#?<~\\\ue000\x85", max_size=40))
def test_whatever_the_text_only_documented_errors_leave_the_yaml_reader(text: str) -> None:
    try:
        parse_yaml(text, where="x.yaml")
    except CorpusError as error:
        assert str(error).startswith("x.yaml")  # noqa: PT017


@given(st.binary(max_size=60))
def test_whatever_the_bytes_only_documented_errors_leave_the_readers(data: bytes) -> None:
    for parse in (parse_json, parse_yaml):
        try:
            parse(decode(data, where="x"), where="x")
        except CorpusError as error:
            assert str(error).startswith("x:")  # noqa: PT017


def test_a_file_is_whole_or_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.txt"
    write_text(path, "before")
    with pytest.raises(ZeroDivisionError, match="zero"), whole(path) as partial:
        _ = partial.write_text("half") / 0
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(path, [float("nan")])
    assert (path.read_text(), names(path.parent)) == ("before", ["a.txt"])
    write_json(path, {"a": "ü"})
    assert read_json(path) == {"a": "ü"}


def writers() -> dict:
    table = pd.DataFrame({"a": np.random.default_rng(0).random(20_000)})

    def parquet(path: Path) -> None:
        with whole(path) as partial:
            table.to_parquet(partial)

    return {
        "text": lambda path: write_text(path, "a" * 100_000),
        "json": lambda path: write_json(path, ["a"] * 100_000),
        "tensors": lambda path: write_tensors(path, {"a": torch.zeros(100_000)}),
        "parquet": parquet,
    }


@pytest.mark.parametrize("what", ["text", "json", "tensors", "parquet"])
def test_a_full_disk_is_one_line_and_the_old_file_is_still_there(tmp_path: Path, what: str) -> None:
    """A limit to the size of files stands for the disk: the system refuses the same call, with another number."""
    code = (
        "import resource, signal\n"
        "from pathlib import Path\n"
        "from tests.test_files import writers\n"
        "from vergence.errors import OutputError\n"
        "write = writers()[%r]\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))\n"
        "try:\n    write(Path('old'))\nexcept OutputError as error:\n    print(error)"
    )
    (tmp_path / "old").write_text("before")
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'src'}"}
    done = subprocess.run(
        [sys.executable, "-c", code % what],
        cwd=tmp_path, capture_output=True, text=True, check=False, env=environment,
    )  # fmt: skip
    assert done.stderr == ""
    assert done.stdout.startswith("cannot write old: ")
    assert "File too large" in done.stdout
    assert done.stdout.count("\n") == 1
    assert (names(tmp_path), (tmp_path / "old").read_text()) == (["old"], "before")


def test_a_disk_that_is_full_when_it_is_asked_to_keep_a_file_is_said_so(tmp_path: Path, monkeypatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    for write in writers().values():
        with pytest.raises(OutputError, match=r"cannot write .*a: No space left on device; choose another place"):
            write(tmp_path / "a")
    assert names(tmp_path) == []


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    os.mkfifo(tmp_path / "pipe")
    for path, message in {
        tmp_path: "it is a folder",
        tmp_path / "file" / "below": "Not a directory|File exists",
        tmp_path / "pipe": "it is no regular file",
        Path("/dev/null"): "it is no regular file",
        tmp_path / ("a" * 300): "File name too long",
        tmp_path / "a\0b": "null byte",
        Path("."): "it is a folder",
        Path("/proc/vergence/a"): "No such file or directory",
    }.items():
        with pytest.raises(OutputError, match=f"cannot write .*(?:{message})") as caught:
            write_bytes(path, b"a")
        assert "\n" not in str(caught.value)
    assert Path("/dev/null").is_char_device()


def test_names_of_any_length_that_the_disk_takes_are_written(tmp_path: Path) -> None:
    for name in ("a" * 255, "猫" * 85, ".a"):
        write_text(tmp_path / name, "kept")
        assert (tmp_path / name).read_text() == "kept"


def test_a_link_that_a_user_names_is_written_through(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("old")
    (tmp_path / "link").symlink_to("target")
    write_text(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_text() == "new"


def test_threads_that_write_one_name_leave_one_whole_file(tmp_path: Path) -> None:
    texts = [str(number) * 1000 for number in range(8)]
    threads = [threading.Thread(target=write_text, args=(tmp_path / "a", text)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "a").read_text() in texts
    assert names(tmp_path) == ["a"]


def test_only_leftovers_of_dead_processes_of_this_machine_are_removed(tmp_path: Path) -> None:
    code = (
        "import sys, time\nfrom vergence.files import whole\n"
        "with whole(sys.argv[1]) as partial:\n"
        "    partial.write_text('half')\n    print('ready', flush=True)\n    sys.stdin.read()"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-c", code]
    alive, killed = (
        subprocess.Popen(
            [*command, str(tmp_path / "deep" / name)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment,
        )
        for name in ("alive", "killed")
    )  # fmt: skip
    with alive, killed:
        assert [process.stdout.readline() for process in (alive, killed)] == [b"ready\n"] * 2
        killed.kill()
        killed.wait()
        foreign = tmp_path / ".notes.partial"
        foreign.write_text("mine")
        other_machine = tmp_path / ".a.00000000-1-1.partial"
        other_machine.write_text("half")
        remove_partials(tmp_path)
        left = [name for name in names(tmp_path / "deep") if name.endswith(".partial")]
        assert len(left) == 1
        assert left[0].startswith(".alive")
        assert foreign.exists()
        assert other_machine.exists()
        alive.stdin.close()
    assert names(tmp_path / "deep") == ["alive"]


def test_tensors_come_back_with_what_was_said_about_them(tmp_path: Path) -> None:
    weight = torch.arange(6.0).reshape(2, 3)
    write_tensors(tmp_path / "a.safetensors", {"one": weight, "tied": weight, "half": weight.bfloat16().T}, {"a": "b"})
    tensors, about = read_tensors(tmp_path / "a.safetensors")
    assert about == {"a": "b"}
    assert torch.equal(tensors["tied"], weight)
    assert torch.equal(tensors["half"], weight.bfloat16().T)


def test_what_holds_no_tensors_is_refused(tmp_path: Path) -> None:
    header = json.dumps({"a": {"dtype": "F32", "shape": [10**9], "data_offsets": [0, 4 * 10**9]}}).encode()
    contents = {
        "empty": b"", "text": b"a" * 100, "claims": len(header).to_bytes(8, "little") + header, "long": b"\xff" * 16
    }  # fmt: skip
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(CorpusError, match=rf"{name} is broken, or no safetensors file \(.+\)"):
            read_tensors(tmp_path / name)
    for path, message in {tmp_path: "is no file", tmp_path / "none": "does not exist"}.items():
        with pytest.raises(CorpusError, match=message):
            read_tensors(path)
