"""Weights from local files: what loads, what is refused, and that nothing is loaded in part."""

import json
import pickle
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from vergence.encoders import (
    MLP,
    FrozenFeatures,
    PixelMLP,
    Preprocessing,
    TransformersImageEncoder,
    load_preprocessing,
    load_weights,
    save_weights,
)
from vergence.errors import ConfigError, CorpusError, MissingExtraError

IMAGENET = Preprocessing(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


def mlp() -> MLP:
    return MLP(3, 2, hidden=(4,))


def pixels(preprocessing: Preprocessing = IMAGENET, *, side: int = 4) -> PixelMLP:
    return PixelMLP(2, side=side, hidden=(3,), preprocessing=preprocessing)


@pytest.mark.parametrize("suffix", ["pt", "pth"])
def test_a_state_dict_saved_by_torch_loads(tmp_path: Path, suffix: str) -> None:
    source, target = mlp(), mlp()
    torch.save(source.state_dict(), tmp_path / f"weights.{suffix}")
    load_weights(target, tmp_path / f"weights.{suffix}")
    assert all(torch.equal(a, b) for a, b in zip(source.parameters(), target.parameters(), strict=True))


def test_half_precision_weights_load_into_single(tmp_path: Path) -> None:
    source, target = mlp().half(), mlp()
    save_weights(source, tmp_path / "a.safetensors")
    load_weights(target, str(tmp_path))
    assert target.head.weight.dtype == torch.float32
    assert torch.equal(target.head.weight, source.head.weight.float())


def test_the_preprocessing_travels_with_the_weights_and_builds_their_encoder(tmp_path: Path) -> None:
    source = pixels()
    save_weights(source, tmp_path / "new" / "pixels.safetensors")
    assert json.loads((tmp_path / "new" / "pixels.json").read_text()) == {
        "side": 4,
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
    }
    assert {file.name for file in (tmp_path / "new").iterdir()} == {"pixels.json", "pixels.safetensors"}
    target = pixels(load_preprocessing(tmp_path / "new"))
    load_weights(target, tmp_path / "new")
    image = torch.randint(256, (2, 3, 4, 4))
    assert torch.equal(source(image), target(image))


def test_another_preprocessing_is_refused(tmp_path: Path) -> None:
    save_weights(pixels(), tmp_path / "a.safetensors")
    with pytest.raises(
        ConfigError, match=r'fitted to \{"side": 4, "mean": \[0.485.*the encoder has .*\[0.5, .*build it'
    ):
        load_weights(pixels(Preprocessing()), tmp_path)
    with pytest.raises(ConfigError, match=r'the encoder has \{"side": 5'):
        load_weights(pixels(side=5), tmp_path)
    with pytest.raises(ConfigError, match="the encoder has no preprocessing"):
        load_weights(pixels().mlp, tmp_path)


def test_a_frozen_backbone_brings_its_preprocessing(tmp_path: Path) -> None:
    save_weights(FrozenFeatures(pixels(), nn.Linear(2, 2)), tmp_path / "a.safetensors")
    with pytest.raises(ConfigError, match="was fitted to"):
        load_weights(FrozenFeatures(pixels(Preprocessing()), nn.Linear(2, 2)), tmp_path)


def test_image_weights_without_their_preprocessing_are_refused(tmp_path: Path) -> None:
    save_weights(pixels(), tmp_path / "a.safetensors")
    (tmp_path / "a.json").unlink()
    with pytest.raises(CorpusError, match=r"a\.json is missing: it must state what pixels the weights were fitted to"):
        load_weights(pixels(), tmp_path)


def test_a_preprocessing_left_by_other_weights_of_the_name_goes(tmp_path: Path) -> None:
    save_weights(pixels(), tmp_path / "a.safetensors")
    save_weights(mlp(), tmp_path / "a.safetensors")
    load_weights(mlp(), tmp_path)
    assert not (tmp_path / "a.json").exists()


def other(change: dict[str, Tensor | None]) -> dict[str, Tensor]:
    return {name: value for name, value in {**mlp().state_dict(), **change}.items() if value is not None}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"head.bias": None}, "another model: head.bias is missing$"),
        ({"extra": torch.zeros(1)}, "another model: extra is not expected$"),
        ({"head.bias": torch.zeros(3)}, r"another model: head.bias is \(3,\), not \(2,\)$"),
        (
            {"head.bias": torch.zeros(2, dtype=torch.long)},
            r"head.bias is \(2,\) of whole numbers, not \(2,\) of floating numbers$",
        ),
        (
            {f"x{i}": torch.zeros(1) for i in range(5)},
            "x0 is not expected; x1 is not .*; x2 is not expected and 2 more$",
        ),
    ],
)
def test_weights_of_another_model_are_refused_whole(tmp_path: Path, change, message: str) -> None:
    save_file(other(change), tmp_path / "a.safetensors")
    encoder = mlp()
    before = [weight.clone() for weight in encoder.parameters()]
    with pytest.raises(ConfigError, match=message):
        load_weights(encoder, tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(before, encoder.parameters(), strict=True))


@pytest.mark.parametrize(
    ("files", "asked", "message"),
    [
        ([], "", "found nothing of the kind. Nothing is downloaded: copy the weights there first"),
        ([], "a.safetensors", r"no weights at .*a\.safetensors: name a \.safetensors, \.pt, \.pth file"),
        (["a.bin"], "a.bin", "no weights at .*found a.bin"),
        (["a.pt", "b.safetensors"], "", "or a folder with one such file; found a.pt, b.safetensors"),
    ],
)
def test_without_one_file_the_error_says_what_to_do(tmp_path: Path, files, asked: str, message: str) -> None:
    for name in files:
        (tmp_path / name).touch()
    for load in (lambda path: load_weights(mlp(), path), load_preprocessing):
        with pytest.raises(CorpusError, match=message):
            load(tmp_path / asked)


class Hostile:
    """Would leave a file behind if it were unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self):
        return Path.touch, (self.trace,)


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    for write in (torch.save, lambda held, path: path.write_bytes(pickle.dumps(held, protocol=2))):
        write({"head.bias": Hostile(tmp_path / "trace")}, tmp_path / "a.pt")
        with pytest.raises(CorpusError, match="holds more than tensors, or is broken; save its state_dict"):
            load_weights(mlp(), tmp_path / "a.pt")
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize("held", [[1, 2], {"model": {"head.bias": torch.zeros(2)}}, torch.zeros(2)])
def test_a_file_of_another_form_is_refused(tmp_path: Path, held) -> None:
    torch.save(held, tmp_path / "a.pt")
    with pytest.raises(CorpusError, match="is not a mapping from names to tensors; save the model's state_dict"):
        load_weights(mlp(), tmp_path)


@pytest.mark.parametrize("suffix", ["safetensors", "pt"])
@pytest.mark.parametrize("kept", [0, 7, 300])
def test_a_truncated_file_is_refused(tmp_path: Path, suffix: str, kept: int) -> None:
    path = tmp_path / f"a.{suffix}"
    if suffix == "pt":
        torch.save(mlp().state_dict(), path)
    else:
        save_weights(mlp(), path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(CorpusError, match="broken"):
        load_weights(mlp(), path)


def test_weights_are_written_as_safetensors_only(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"weights are written as \.safetensors; got 'a\.pt'"):
        save_weights(mlp(), tmp_path / "a.pt")


# -- models of transformers: the ones below are made here, small and at random


SCALING = {"do_rescale": True, "do_normalize": True, "image_mean": [0.4, 0.5, 0.6], "image_std": [0.2, 0.3, 0.4]}


def saved(model: nn.Module, folder: Path, **settings) -> Path:
    model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(
        json.dumps({"size": {"height": 8, "width": 8}, **SCALING, **settings})
    )
    return folder


def vit(transformers, *, pooled: bool = True) -> nn.Module:
    torch.manual_seed(0)
    config = transformers.ViTConfig(
        image_size=8, patch_size=4, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8
    )
    return transformers.ViTModel(config, add_pooling_layer=pooled).eval()


@pytest.fixture(scope="module")
def transformers():
    return pytest.importorskip("transformers", reason="needs vergence[transformers]")


@pytest.mark.parametrize(
    "settings",
    [
        {"size": 8},
        {"size": {"shortest_edge": 8}},
        {"size": {"shortest_edge": 9}, "do_center_crop": True, "crop_size": {"height": 8, "width": 8}},
    ],
)
def test_a_transformers_model_gives_its_pooled_features(transformers, tmp_path: Path, settings) -> None:
    model = vit(transformers)
    encoder = TransformersImageEncoder(saved(model, tmp_path, **settings))
    assert encoder.preprocessing == Preprocessing(side=8, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4))
    image = torch.randint(256, (2, 3, 8, 8), dtype=torch.uint8)
    expected = model(pixel_values=encoder.preprocessing(image)).pooler_output
    torch.testing.assert_close(encoder(image), expected)
    head = FrozenFeatures(encoder, nn.Linear(8, 2))
    assert head(image).shape == (2, 2)


def test_a_model_of_images_and_text_gives_its_image_features(transformers, tmp_path: Path) -> None:
    small = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = transformers.CLIPConfig(
        text_config={**small, "vocab_size": 9, "max_position_embeddings": 5},
        vision_config={**small, "image_size": 8, "patch_size": 4},
        projection_dim=6,
    )
    encoder = TransformersImageEncoder(saved(transformers.CLIPModel(config), tmp_path))
    assert encoder(torch.zeros(3, 3, 8, 8, dtype=torch.uint8)).shape == (3, 6)


def test_weights_that_would_start_at_random_are_refused(transformers, tmp_path: Path) -> None:
    saved(vit(transformers, pooled=False), tmp_path)
    with pytest.raises(CorpusError, match=r"lacks weights that would start at random: pooler\.dense\.bias"):
        TransformersImageEncoder(tmp_path)


def test_a_folder_without_weights_is_refused(transformers, tmp_path: Path) -> None:
    saved(vit(transformers), tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(CorpusError, match="holds no model that can be loaded"):
        TransformersImageEncoder(tmp_path)


def folder(path: Path, **settings) -> Path:
    (path / "config.json").write_text("{}")
    (path / "preprocessor_config.json").write_text(json.dumps({"size": 8, **SCALING, **settings}))
    return path


def test_without_transformers_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'vergence\[transformers\]'"):
        TransformersImageEncoder(folder(tmp_path))


@pytest.mark.parametrize("missing", ["config.json", "preprocessor_config.json"])
def test_an_incomplete_folder_is_refused_before_anything_is_imported(tmp_path: Path, missing: str) -> None:
    (folder(tmp_path) / missing).unlink()
    with pytest.raises(CorpusError, match=rf"{missing} is missing: name a folder that save_pretrained .* Nothing is"):
        TransformersImageEncoder(tmp_path)
    with pytest.raises(CorpusError, match=r"google/vit/config\.json is missing"):
        TransformersImageEncoder("google/vit")


@pytest.mark.parametrize(
    "settings",
    [
        {"size": {"height": 8, "width": 9}},
        {"size": None},
        {"rescale_factor": 1.0},
        {"do_rescale": False},
        {"image_mean": None},
        {"image_std": [0, 0, 0]},
        {"do_center_crop": True},
    ],
)
def test_scaling_of_an_unknown_form_is_refused(tmp_path: Path, settings) -> None:
    with pytest.raises(CorpusError, match=r"preprocessor_config\.json is not of a known form"):
        TransformersImageEncoder(folder(tmp_path, **settings))
