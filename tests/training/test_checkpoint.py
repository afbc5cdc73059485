"""Checkpoints: whole or not there, never pickled."""

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from vergence.errors import ConfigError
from vergence.files import write_text
from vergence.training import Checkpoints
from vergence.training.checkpoint import restore, write_tensors


def fitted(seed: int = 0, *, dim: int = 3) -> tuple[dict[str, nn.Module], dict[str, torch.optim.Optimizer]]:
    """Modules and an optimiser that has a state."""
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(2, dim), nn.BatchNorm1d(dim))
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.1)
    net(torch.randn(5, 2)).square().sum().backward()
    optimizer.step()
    return {"net": net, "empty": nn.Identity()}, {"optimizer": optimizer}


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_is_restored_is_what_was_saved(tmp_path: Path) -> None:
    modules, optimizers = fitted()
    checkpoints = Checkpoints(tmp_path / "deep" / "folder")
    assert checkpoints.latest() is None
    checkpoints.save(1, modules, optimizers, {"history": [{"loss": 0.1}], "name": "é"})
    others, other_optimizers = fitted(1)
    epoch, tensors, about = checkpoints.latest()
    restore(tensors, others, other_optimizers)
    assert (epoch, about) == (1, {"history": [{"loss": 0.1}], "name": "é"})
    for key, value in modules["net"].state_dict().items():
        assert torch.equal(value, others["net"].state_dict()[key])
    states = (o.state_dict()["state"] for o in (optimizers["optimizer"], other_optimizers["optimizer"]))
    for one, other in zip(*(state.values() for state in states), strict=True):
        assert all(torch.equal(one[key], other[key]) for key in one)


def test_the_two_latest_are_kept(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    for epoch in range(1, 5):
        checkpoints.save(epoch, *fitted(), {})
    assert files(tmp_path) == ["epoch-000003.safetensors", "epoch-000004.safetensors"]


def test_after_going_back_behind_damaged_files_new_checkpoints_are_the_ones_kept(tmp_path: Path) -> None:
    for epoch in (8, 9):
        (tmp_path / f"epoch-{epoch:06d}.safetensors").write_bytes(b"damaged")
    Checkpoints(tmp_path).save(1, *fitted(), {})
    assert files(tmp_path) == ["epoch-000001.safetensors"]


def test_files_of_other_names_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "epoch-best.safetensors").write_bytes(b"mine")
    Checkpoints(tmp_path).save(1, *fitted(), {})
    assert Checkpoints(tmp_path).latest()[0] == 1
    assert (tmp_path / "epoch-best.safetensors").read_bytes() == b"mine"


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("two")
    for epoch in (1, 2):
        Checkpoints(folder).save(epoch, *fitted(), {})
    return folder


@given(share=st.floats(0, 0.999))
def test_a_file_cut_anywhere_is_passed_over_with_one_line(two: Path, share: float) -> None:
    newest = two / "epoch-000002.safetensors"
    whole = newest.read_bytes()
    newest.write_bytes(whole[: int(share * len(whole))])
    try:
        with pytest.warns(
            UserWarning, match="epoch-000002.safetensors is damaged .*the checkpoint before it"
        ) as caught:
            assert Checkpoints(two).latest()[0] == 1
        assert [str(warning.message).count("\n") for warning in caught] == [0]
    finally:
        newest.write_bytes(whole)
    assert Checkpoints(two).latest()[0] == 2


def test_without_a_whole_file_there_is_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "epoch-000001.safetensors").write_bytes(b"")
    with pytest.warns(UserWarning, match="is damaged"):
        assert Checkpoints(tmp_path).latest() is None


def test_tensors_of_another_model_are_refused_by_name(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, *fitted(), {})
    tensors = checkpoints.latest()[1]
    with pytest.raises(ConfigError, match=r"the checkpoint is of another model \(size mismatch for .*another folder"):
        restore(tensors, *fitted(dim=4))


def test_tied_and_strided_tensors_are_written_and_the_originals_left_as_they_are(tmp_path: Path) -> None:
    weight = torch.arange(24.0).reshape(1, 2, 3, 4).contiguous(memory_format=torch.channels_last)
    path = tmp_path / "tied.safetensors"
    write_tensors(path, {"one": weight, "same": weight, "turned": weight.mT}, {})
    assert files(tmp_path) == ["tied.safetensors"]
    assert weight.is_contiguous(memory_format=torch.channels_last)


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "note.txt"
    write_text(path, "before")
    with pytest.raises(UnicodeEncodeError, match="surrogates not allowed"):
        write_text(path, "after \ud800")
    with pytest.raises(TypeError, match="str"):
        write_tensors(path, {"a": torch.zeros(2)}, {"about": 3})
    assert (path.read_text(), files(tmp_path)) == ("before", ["note.txt"])


def test_everything_but_tensors_is_json_in_the_header(tmp_path: Path) -> None:
    Checkpoints(tmp_path).save(1, *fitted(), {"epochs": 3})
    content = (tmp_path / "epoch-000001.safetensors").read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    assert json.loads(header.pop("__metadata__")["about"]) == {"epochs": 3}
    assert len(content) == 8 + size + max(entry["data_offsets"][1] for entry in header.values())
