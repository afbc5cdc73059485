"""Every encoder that a configuration can name trains, resumes, leaves the machine and comes back the same."""

import json
import shutil
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.training.run_config import SMALL
from torch import nn

from vergence.encoders import ConvEncoder, Preprocessing, resnet_cifar, save_weights
from vergence.errors import ConfigError, CorpusError, VergenceError
from vergence.probes import encode
from vergence.training import RunConfig, load_encoder, run_training
from vergence.training.mapping import check_keys, from_mapping
from vergence.training.pairs import load_pairs
from vergence.training.towers import HEADS, IMAGE_ENCODERS, TEXT_ENCODERS, make_image_encoder
from vergence.views import ViewPair

OTHER_SCALING = Preprocessing(mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4))
TOKENS = {"depth": 1, "width": 8, "heads": 2}

IMAGES: dict[str, dict[str, Any]] = {
    "conv": {"kind": "conv", "settings": {"widths": [4], "hidden": 4}},
    "grid_conv": {"kind": "grid_conv", "settings": {"widths": [4], "hidden": 4}},
    "mlp": {"kind": "mlp", "settings": {"hidden": [4]}},
    "residual_mlp": {"kind": "residual_mlp", "settings": {"width": 4, "n_blocks": 1}},
    "resnet": {"kind": "resnet", "settings": {"blocks": [1, 1], "width": 2, "stem": "plain", "shortcut": "padding"}},
    "resnet18": {"kind": "resnet18", "settings": {"stem": "plain", "hidden": None}},
    "resnet34": {"kind": "resnet34"},
    "resnet_cifar": {"kind": "resnet_cifar", "settings": {"depth": 8}},
    "vit": {"kind": "vit", "settings": {"patch": 8, **TOKENS}},
    "from weights": {"kind": "resnet_cifar", "settings": {"depth": 8}, "weights": "{folder}/resnet.safetensors"},
    "linear head": {
        "kind": "resnet_cifar",
        "settings": {"depth": 8},
        "weights": "{folder}/backbone.safetensors",
        "features": 7,
        "head": {"kind": "linear"},
    },
    "mlp head": {
        "kind": "conv",
        "settings": {"widths": [4], "hidden": 4},
        "weights": "{folder}/conv.safetensors",
        "head": {"kind": "mlp", "settings": {"hidden": [6], "batch_norm": True, "negative_slope": 0}},
    },
    "transformers": {"kind": "transformers", "weights": "{folder}/vit"},
    "head on transformers": {
        "kind": "transformers",
        "weights": "{folder}/vit",
        "head": {"kind": "residual_mlp", "settings": {"width": 4}},
    },
}
TEXTS: dict[str, dict[str, Any]] = {
    "bag_of_words": {"kind": "bag_of_words", "settings": {"width": 4, "hidden": 4}},
    "sentence_cnn": {"kind": "sentence_cnn", "settings": {"width": 4, "hidden": 4}},
    "cnn": {"kind": "cnn", "settings": {"widths": [2, 2]}},
    "transformer": {"kind": "transformer", "settings": {"max_length": 2, **TOKENS}},
}
SLOW = ("resnet18", "resnet34")
PAIRS = [pytest.param(i, "bag_of_words", marks=pytest.mark.slow if i in SLOW else ()) for i in IMAGES]
PAIRS += [pytest.param("conv", name) for name in TEXTS if name != "bag_of_words"]
FIXED = ("linear head", "mlp head", "head on transformers")


def config(dim: int = 4, **towers: Any) -> RunConfig:
    """A configuration of two steps, one in each epoch."""
    content = deepcopy(SMALL) | {"data": {"policy": "omit", "items": 40, "side": 16, "validation": 0.2}}
    content |= {"encoder": {"dim": dim, **towers}, "train": {"epochs": 2, "batch_size": 32, "learning_rate": 0.01}}
    check_keys(RunConfig, content)
    return from_mapping(RunConfig, content)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights to start from: networks and a model of transformers, all made here, small and at random."""
    folder = tmp_path_factory.mktemp("weights")
    with torch.random.fork_rng():
        torch.manual_seed(5)
        save_weights(resnet_cifar(4, depth=8, preprocessing=OTHER_SCALING), folder / "resnet.safetensors")
        save_weights(resnet_cifar(7, depth=8), folder / "backbone.safetensors")
        save_weights(ConvEncoder(4, widths=(4,), hidden=4), folder / "conv.safetensors")
        transformers = pytest.importorskip("transformers", reason="needs vergence[transformers]")
        small = {"hidden_size": 4, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 4}
        transformers.ViTModel(transformers.ViTConfig(image_size=16, patch_size=8, **small)).save_pretrained(
            folder / "vit"
        )
    scaling = {"size": 16, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    (folder / "vit" / "preprocessor_config.json").write_text(json.dumps(scaling))
    return folder


def placed(image: dict[str, Any], folder: Path) -> dict[str, Any]:
    return image | {"weights": image["weights"].format(folder=folder)} if "weights" in image else image


def test_every_kind_that_can_be_named_is_trained_here() -> None:
    assert {image["kind"] for image in IMAGES.values()} == set(IMAGE_ENCODERS)
    assert {text["kind"] for text in TEXTS.values()} == set(TEXT_ENCODERS)
    assert {image["head"]["kind"] for image in IMAGES.values() if "head" in image} == set(HEADS)


@pytest.mark.parametrize(("image", "text"), PAIRS)
def test_it_trains_resumes_and_comes_back_from_its_export(folder: Path, tmp_path: Path, image: str, text: str) -> None:
    chosen = config(image=placed(IMAGES[image], folder), text=TEXTS[text])
    trained = run_training(chosen, out=tmp_path / "run", present="refuse").encoder
    moved = shutil.copytree(tmp_path / "run" / "encoder", tmp_path / "moved")
    encoder, vocabulary = load_encoder(moved)
    found = load_pairs(chosen.data, seed=chosen.seed)
    words = vocabulary.encode(found.pairs.texts, length=2 if text == "transformer" else None)
    views = ViewPair(image=found.pairs.images.tensor(), text=words)
    ours, theirs = encode(trained, views), encode(encoder, views)
    assert torch.equal(ours.z_image, theirs.z_image)
    assert torch.equal(ours.z_text, theirs.z_text)
    assert ours.z_image.shape == ours.z_text.shape == (40, 4)
    assert f"kind: {IMAGES[image]['kind']}" in (moved / "README.md").read_text()

    shutil.rmtree(tmp_path / "run" / "encoder")
    (tmp_path / "run" / "checkpoints" / "epoch-000002.safetensors").unlink()
    resumed = run_training(chosen, out=tmp_path / "run", present="resume")
    assert resumed.resumed_from == 1
    assert differing(trained, resumed.encoder) == []


def differing(one: nn.Module, other: nn.Module) -> list[str]:
    state = other.state_dict()
    return [name for name, value in one.state_dict().items() if not torch.equal(value, state[name])]


@pytest.mark.parametrize("name", FIXED)
def test_below_a_head_nothing_moves(folder: Path, tmp_path: Path, name: str) -> None:
    chosen = config(image=placed(IMAGES[name], folder))
    before = make_image_encoder(chosen.encoder, side=chosen.data.side, seed=chosen.seed)
    after = run_training(chosen, out=tmp_path / "run", present="refuse").encoder.image
    moved = differing(before, after)
    assert moved
    assert all(key.startswith("head.") for key in moved)


def test_an_export_names_the_weights_that_it_started_from_and_needs_them_no_more(folder: Path, tmp_path: Path) -> None:
    own = shutil.copytree(folder, tmp_path / "weights")
    chosen = config(image=placed(IMAGES["from weights"], own))
    run_training(chosen, out=tmp_path / "run", present="refuse")
    shutil.rmtree(own)
    assert load_encoder(tmp_path / "run" / "encoder")[0].image.preprocessing == OTHER_SCALING
    said = (tmp_path / "run" / "encoder" / "encoder.json").read_text()
    assert '"weights": "resnet.safetensors"' in said
    assert str(own) not in said


VIT = {"kind": "vit", "settings": {"depth": 1, "width": 8, "heads": 2}}


@pytest.mark.parametrize(
    ("towers", "message"),
    [
        (
            {"image": {"kind": "resnet50"}},
            r"in encoder.image: unknown kind 'resnet50'; known: conv, grid_conv, mlp, r",
        ),
        (
            {"text": {"kind": "lstm"}},
            "in encoder.text: unknown kind 'lstm'; known: bag_of_words, sentence_cnn, cnn, transformer",
        ),
        (
            {"image": {"knd": "vit"}},
            "unknown key in encoder.image 'knd'; known: kind, settings, .* Did you mean 'kind'",
        ),
        ({"widths": [4]}, "unknown key in encoder 'widths'; known: dim, min_count, image, text"),
        (
            {"image": {"kind": "vit", "settings": {"side": 8}}},
            "in encoder.image: unknown setting of vit 'side'; known: patch, depth, width, heads",
        ),
        (
            {"image": {"kind": "vit", "settings": {"depth": "deep"}}},
            "in encoder.image: setting depth of vit must be a whole number; got 'deep'",
        ),
        (
            {"image": {"kind": "vit", "settings": {"depth": True}}},
            "in encoder.image: setting depth of vit must be a whole number; got True",
        ),
        (
            {"image": {"settings": {"widths": [4, "8"]}}},
            r"setting widths of conv must be a list of whole numbers; got \[4, '8'\]",
        ),
        (
            {"image": {"kind": "resnet18", "settings": {"hidden": 1.5}}},
            "setting hidden of resnet18 must be a whole number or null; got 1.5",
        ),
        ({"image": {"kind": "resnet"}}, "in encoder.image: settings of resnet must state blocks; got none"),
        (
            {"image": VIT | {"settings": {"patch": 5}}},
            "in encoder.image: side must be a multiple of patch; got side 16",
        ),
        (
            {"text": {"kind": "transformer", "settings": {"width": 9}}},
            "in encoder.text: width must be a multiple of heads; got width 9, heads 4",
        ),
        ({"image": {"kind": "resnet18", "settings": {"stem": "thin"}}}, "in encoder.image: unknown stem 'thin'"),
        ({"image": {"settings": {"widths": []}}}, "in encoder.image: widths must be >= 1; got 0"),
        ({"image": {"kind": "resnet_cifar", "settings": {"depth": 21}}}, "in encoder.image: depth must be 6 n \\+ 2"),
        ({"image": {"kind": "transformers"}}, "weights must be a local file or folder for kind transformers .* None"),
        ({"image": {"head": {}}}, "weights must be a local file or folder for a head, whose backbone is fixed"),
        (
            {"image": {"weights": "a", "head": {"kind": "tree"}}},
            "in encoder.image.head: unknown kind 'tree'; known: linear, mlp, residual_mlp",
        ),
        (
            {"image": {"weights": "a", "head": {"kind": "linear", "settings": {"hidden": [3]}}}},
            "in encoder.image.head: unknown setting of linear 'hidden'; known: none",
        ),
        (
            {"image": {"kind": "transformers", "weights": "a", "head": {"kind": "mlp", "settings": {"hidden": [0]}}}},
            "in encoder.image: hidden must be >= 1; got 0",
        ),
        ({"image": {"features": 9}}, "features must be null with no head; got 9"),
        ({"image": {"features": 0}}, "features must be >= 1; got 0"),
        (
            {"image": {"kind": "transformers", "weights": "a", "features": 9}},
            "features must be null with kind transformers, which has its own; got 9",
        ),
    ],
)
def test_what_no_encoder_can_be_is_refused_by_key(towers: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as refused:
        config(**towers)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("dim", "image", "message"),
    [
        (4, {"kind": "conv", "weights": "nowhere.safetensors"}, "no weights at nowhere.safetensors"),
        (
            4,
            {"kind": "transformers", "weights": "{folder}"},
            "config.json is missing: name a folder that save_pretrained",
        ),
        (5, IMAGES["from weights"], r"resnet.safetensors is of another model: fc.weight is \(4, 64\), not \(5, 64\)"),
        (4, IMAGES["linear head"] | {"features": None}, r"fc.weight is \(7, 64\), not \(4, 64\)"),
        (5, IMAGES["transformers"], "dim must be 4, what .*vit gives, or a head must be set; got 5"),
        (4, {"kind": "mlp", "weights": "{folder}/tall.safetensors"}, "data.side must be 8, that of .*tall.*; got 16"),
    ],
)
def test_weights_that_do_not_fit_are_refused_before_the_data_is_loaded(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, dim: int, image: dict[str, Any], message: str
) -> None:
    (folder / "tall.json").write_text(Preprocessing(side=8).to_json())
    shutil.copyfile(folder / "conv.safetensors", folder / "tall.safetensors")
    monkeypatch.setattr("vergence.training.run.load_pairs", lambda *_, **__: pytest.fail("data was loaded"))
    with pytest.raises((ConfigError, CorpusError), match=message) as refused:
        run_training(config(dim, image=placed(image, folder)), out=tmp_path / "out", present="refuse")
    assert isinstance(refused.value, VergenceError)
    assert not (tmp_path / "out").exists()


def test_a_metric_of_the_run_cannot_be_a_term() -> None:
    with pytest.raises(ConfigError, match="a term must not be called 'held_out_total', which is a metric"):
        from_mapping(RunConfig, {"objective": {"held_out_total": {"loss": "info_nce"}}})
