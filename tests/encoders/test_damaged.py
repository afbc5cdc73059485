"""Weights and preprocessing that are damaged, or are none: one line, never a traceback."""

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from vergence.encoders import Preprocessing, TransformersImageEncoder, load_weights, save_weights
from vergence.errors import ConfigError, CorpusError, OutputError, VergenceError

SUFFIXES = (".pt", ".safetensors")
GOOD = {"side": 64, "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}


@pytest.mark.parametrize(
    "change",
    [
        {"side": "64"}, {"side": True}, {"side": 0}, {"mean": ["0.5", 0.5, 0.5]}, {"mean": [True, 0.5, 0.5]},
        {"mean": [10**400, 0.5, 0.5]}, {"mean": 3}, {"std": [0, 1, 1]}, {"std": None}, {"std": [1, 1]}, {"more": 1},
    ],
)  # fmt: skip
def test_a_preprocessing_is_taken_as_it_stands_or_refused(change: dict) -> None:
    assert Preprocessing.from_json(json.dumps(GOOD)).side == 64
    with pytest.raises(ConfigError, match="preprocessing must be"):
        Preprocessing.from_json(json.dumps({**GOOD, **change}))


@given(st.text(max_size=20) | st.sampled_from(["[]", "3", "null", "{}", '{"side": 1, "side": 2}', "[" * 3000]))
def test_no_text_that_is_none_is_a_preprocessing(text: str) -> None:
    with pytest.raises(ConfigError, match="preprocessing must be"):
        Preprocessing.from_json(text)


def test_places_that_hold_no_weights_are_named(tmp_path: Path) -> None:
    (tmp_path / "folder.safetensors").mkdir()
    for path in (tmp_path, tmp_path / "folder.safetensors", tmp_path / "none.pt", tmp_path / ("a" * 300 + ".pt")):
        with pytest.raises(CorpusError, match="no weights at"):
            load_weights(nn.Linear(1, 1), path)
    with pytest.raises(OutputError, match="cannot write"):
        save_weights(nn.Linear(1, 1), tmp_path / "folder.safetensors")


@given(
    position=st.floats(0, 1, exclude_max=True),
    byte=st.integers(0, 255),
    suffix=st.sampled_from([".pt", ".safetensors"]),
)
def test_whatever_byte_of_weights_is_damaged_only_documented_errors_come(
    tmp_path_factory: pytest.TempPathFactory, position: float, byte: int, suffix: str
) -> None:
    folder = tmp_path_factory.mktemp("weights")
    encoder = nn.Linear(3, 2)
    if suffix == ".pt":
        torch.save(encoder.state_dict(), folder / "w.pt")
    else:
        save_weights(encoder, folder / "w.safetensors")
    path = folder / f"w{suffix}"
    data = bytearray(path.read_bytes())
    data[int(position * len(data))] = byte
    path.write_bytes(data)
    try:
        load_weights(encoder, path)
    except VergenceError as error:
        assert "\n" not in str(error)  # noqa: PT017


@pytest.mark.parametrize("content", ["[]", "3", "", '{"size": "big"}', '{"size": {}}', '{"size": 64, "image_mean": 3}'])
def test_a_damaged_description_of_a_model_is_one_line(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "preprocessor_config.json").write_text(content)
    with pytest.raises(CorpusError, match=r"preprocessor_config\.json") as caught:
        TransformersImageEncoder(tmp_path)
    assert "\n" not in str(caught.value)
