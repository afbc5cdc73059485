"""A training that starts from a model fits what it is told to, and leaves all else, byte for byte."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tests.encoders.pretrained import save_pair
from tests.training.common import StoppedError, stop_after
from tests.training.run_config import SMALL
from torch import Tensor, nn

import vergence.training.run as training_run
from vergence.cli.main import main
from vergence.errors import ConfigError, CorpusError, MissingExtraError
from vergence.tensors import read_tensors
from vergence.training import RunConfig, load_encoder, load_model, run_training
from vergence.training.mapping import from_mapping
from vergence.training.pairs import load_pairs
from vergence.training.start import PARTS, FittedModel, StartConfig

transformers = pytest.importorskip("transformers", reason="needs vergence[transformers]")
KINDS = ("clip", "siglip", "own")
DATA = {"policy": "omit", "items": 48, "validation": 0.25}
TRAIN = {"epochs": 2, "batch_size": 12}
HEADS = ("visual_projection", "text_projection", "vision_model.head", "text_model.head", "image.head", "text.head")
WITHIN: dict[str, Callable[[str], bool]] = {
    "both": lambda name: True,
    "image": lambda name: "vision_model" in name or "visual_projection" in name or name.startswith("image"),
    "text": lambda name: "text_model" in name or "text_projection" in name or name.startswith("text"),
    "heads": lambda name: name.removeprefix("model.").startswith(HEADS),
    "lora": lambda name: name.endswith("weight"),
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    for kind in ("clip", "siglip"):
        save_pair(folder / kind, kind)
    encoder = SMALL["encoder"]
    trained = from_mapping(RunConfig, {"data": {**DATA, "side": 16}, "encoder": encoder, "train": TRAIN})
    run_training(trained, out=folder / "own", present="refuse")
    return {kind: folder / kind for kind in KINDS}


def settings(model: Path, part: str, **changes: Any) -> dict[str, Any]:
    start = {"model": str(model), "part": part, **changes.pop("start", {})}
    return {"seed": 2, "data": DATA, "start": start, "train": TRAIN, **changes}


def trained(out: Path, model: Path, part: str, **changes: Any) -> Any:
    config = from_mapping(RunConfig, settings(model, part, **changes))
    return run_training(config, out=out, present="resume")


def changed(one: Path, other: Path) -> set[str]:
    """Names of tensors, statistics too, that are not equal byte for byte."""
    before, after = load_model(one).state_dict(), load_model(other).state_dict()
    assert before.keys() == after.keys()
    return {name for name in before if before[name].numpy().tobytes() != after[name].numpy().tobytes()}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("part", PARTS)
def test_what_is_not_fitted_is_as_it_was_byte_for_byte(kind: str, part: str, models: dict, tmp_path: Path) -> None:
    if part == "lora":
        pytest.importorskip("peft", reason="needs vergence[lora]")
    trained(tmp_path / "run", models[kind], part)
    found = changed(models[kind], tmp_path / "run")
    towers = found - {"model.logit_scale", "model.logit_bias"}
    assert towers
    assert all(map(WITHIN[part], towers)), sorted(towers)
    assert ("model.logit_scale" in found) == (kind != "own")
    statistics = {name for name in found if "running" in name or "batches" in name}
    assert bool(statistics) == (kind == "own" and part in ("both", "image"))
    state, _ = read_tensors(max((tmp_path / "run" / "checkpoints").iterdir()))
    kept = [name for name in state if name.startswith("encoder:") and "running" not in name and "batches" not in name]
    assert part != "lora" or all(".lora_" in name for name in kept)  # a checkpoint of an adapter is no larger than it


def test_scale_and_bias_of_the_logits_are_what_the_objective_has_learned(models: dict, tmp_path: Path) -> None:
    result = trained(tmp_path, models["siglip"], "heads", train={**TRAIN, "learning_rate": 0.05})
    before, after = load_model(models["siglip"]), load_model(tmp_path)
    state, _ = read_tensors(max((tmp_path / "checkpoints").iterdir()))
    learned = {name.rsplit(".", 1)[-1]: float(value) for name, value in state.items() if name.startswith("objective:")}
    assert np.isclose(np.log(after.logit_scale), -learned["log_temperature"], atol=1e-5)
    assert np.isclose(after.logit_bias, learned["value"], atol=1e-5)
    assert after.logit_scale != before.logit_scale
    assert after.logit_bias != before.logit_bias
    assert "contrast" in result.history
    assert "sigmoid_loss" in (tmp_path / "encoder" / "README.md").read_text()


@pytest.mark.parametrize("kind", KINDS)
def test_an_adapter_that_is_merged_does_what_it_did_before(kind: str, models: dict, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft", reason="needs vergence[lora]")
    trained(tmp_path, models[kind], "lora", train={**TRAIN, "learning_rate": 0.05}, start={"rank": 4, "alpha": 6.0})
    merged, applied = load_model(tmp_path), load_model(models[kind])
    plain = applied.embed_texts(["a red heart"])
    inner = getattr(applied, "model", applied)
    peft.PeftModel.from_pretrained(inner, tmp_path / "adapter").eval()
    images = torch.randint(256, (3, 3, merged.side, merged.side), generator=torch.Generator().manual_seed(0))
    texts = ["a red heart", "two dogs", "a cat of a dog"]
    for found, wanted in (
        (merged.embed_texts(texts), applied.embed_texts(texts)),
        (merged.embed_pixels(images.to(torch.uint8)), applied.embed_pixels(images.to(torch.uint8))),
    ):
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)
    assert float((merged.embed_texts(["a red heart"]) - plain).abs().max()) > 1e-3
    assert not list((tmp_path / "adapter").glob("*.bin"))


@pytest.mark.parametrize(("kind", "part"), [("clip", "lora"), ("siglip", "both"), ("own", "image")])
def test_a_stopped_run_ends_at_the_same_bytes(
    kind: str, part: str, models: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if part == "lora":
        pytest.importorskip("peft", reason="needs vergence[lora]")
    trained(tmp_path / "whole", models[kind], part)
    with monkeypatch.context() as patch:
        train = training_run.train
        patch.setattr(training_run, "train", lambda *a, **k: train(*a, **k, callbacks=[stop_after(1)]))
        with pytest.raises(StoppedError):
            trained(tmp_path / "stopped", models[kind], part)
    assert not (tmp_path / "stopped" / "encoder").exists()
    assert trained(tmp_path / "stopped", models[kind], part).resumed_from == 1
    for name in ("encoder/model.safetensors", "encoder/encoder.safetensors", "adapter/adapter_model.safetensors"):
        ours, theirs = tmp_path / "stopped" / name, tmp_path / "whole" / name
        assert ours.exists() == theirs.exists()
        assert not ours.exists() or ours.read_bytes() == theirs.read_bytes()
    assert (tmp_path / "stopped" / "history.jsonl").read_text() == (tmp_path / "whole" / "history.jsonl").read_text()


def test_the_best_epoch_is_what_a_run_ends_with_where_that_is_asked_for(models: dict, tmp_path: Path) -> None:
    stop = {"metric": "held_out_total", "patience": 2, "restore_best": True}
    train = {"epochs": 6, "batch_size": 12, "learning_rate": 0.3, "early_stop": stop}
    result = trained(tmp_path / "run", models["clip"], "both", train=train)
    best = int(result.history["held_out_total"].argmin()) + 1
    assert result.epoch == best < len(result.history)
    state, _ = read_tensors(tmp_path / "run" / "checkpoints" / f"epoch-{best:06d}.safetensors")
    exported = load_model(tmp_path / "run").state_dict()
    name = "model.text_projection.weight"
    assert torch.equal(exported[name], state[f"encoder:model.{name}"])
    card = (tmp_path / "run" / "encoder" / "README.md").read_text()
    assert f"| held_out_total | {result.history['held_out_total'].min():.6g} |" in card


@pytest.mark.parametrize("memory", [0, 64])
def test_images_are_framed_as_the_model_has_them(memory: int, models: dict) -> None:
    model = load_model(models["clip"])
    config = from_mapping(RunConfig, {"data": {**DATA, "side": 32, "memory": memory}})
    pairs = load_pairs(config.data, seed=0, prepare=model.prepared).pairs
    ((pixels, _),) = pairs.batches([range(5)], side=32, workers=2)
    wanted = np.stack([model.prepared(pairs.images.file(row)) for row in range(5)])
    assert np.array_equal(pixels.numpy(), wanted)


def test_captions_that_are_cut_are_counted_and_said(
    models: dict, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    trained(tmp_path, models["clip"], "heads")
    pairs = load_pairs(from_mapping(RunConfig, {"data": DATA}).data, seed=2).pairs
    tokenizer = transformers.AutoTokenizer.from_pretrained(models["clip"])
    n = sum(len(tokenizer(text)["input_ids"]) > 12 for text in pairs.texts)
    assert n
    assert (
        f"{n} of {len(pairs)} captions are longer than {models['clip']} takes, and are cut" in capsys.readouterr().err
    )
    assert json.loads((tmp_path / "history.jsonl").read_text().splitlines()[0])["captions_cut"] == n


def test_the_command_line_trains_embeds_and_starts_again_from_what_came_out(models: dict, tmp_path: Path) -> None:
    source = tmp_path / "pairs"
    source.mkdir()
    for number in range(24):
        image = np.random.default_rng(number).integers(0, 256, (20, 30, 3), dtype=np.uint8)
        Image.fromarray(image).save(source / f"{number}.png")
        (source / f"{number}.txt").write_text(f"a photo of {'two dogs' if number % 2 else 'a red heart'}\n")
    common = [
        "--data.source",
        str(source),
        "--train.epochs",
        "1",
        "--train.batch_size",
        "8",
        "--data.validation",
        "0.25",
    ]
    start = ["--start.model", str(models["siglip"]), "--start.part", "text"]
    assert main(["train", *common, *start, "--out", str(tmp_path / "one")]) == 0
    again = ["--start.model", str(tmp_path / "one"), "--start.part", "heads"]
    assert main(["train", *common, *again, "--out", str(tmp_path / "two")]) == 0
    assert main(["embed", str(source), "--model", str(tmp_path / "two"), "--out", str(tmp_path / "emb")]) == 0
    for name in ("tokenizer.json", "preprocessor_config.json"):
        assert (tmp_path / "two" / "encoder" / name).read_bytes() == (models["siglip"] / name).read_bytes()
    assert main(["train", str(tmp_path / "two" / "config.yaml"), "--out", str(tmp_path / "two"), "--resume"]) == 0
    with pytest.raises(CorpusError, match="read it with load_model"):
        load_encoder(tmp_path / "two")


class Layerless(nn.Module):
    """A model of convolutions and bags of words alone."""

    package, folder, side = None, Path("layerless"), 8

    def __init__(self) -> None:
        super().__init__()
        self.image, self.text = nn.Conv2d(3, 4, 8), nn.EmbeddingBag(5, 4)

    def image_features(self, pixels: Tensor) -> Tensor:
        return self.image(pixels.float()).flatten(1)

    def numbered(self, texts: list[str]) -> Tensor:
        return torch.ones(len(texts), 2, dtype=torch.long)

    def text_features(self, numbers: Tensor) -> Tensor:
        return self.text(numbers)


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ("lora", "layerless has no linear layer .* fit another part: both, image, text or heads"),
        ("heads", "layerless has no heads to fit: its image tower ends in no layer that is called head"),
    ],
)
def test_a_part_that_a_model_does_not_have_is_refused(part: str, message: str) -> None:
    if part == "lora":
        pytest.importorskip("peft", reason="needs vergence[lora]")
    with pytest.raises(ConfigError, match=message):
        FittedModel(Layerless(), StartConfig(model="layerless", part=part))


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown part": ({"start": {"part": "head"}}, "unknown part 'head'; known: both, image, text, heads, lora"),
    "no model": ({"start": {"model": ""}}, "in start: model is missing"),
    "layers without an adapter": ({"start": {"layers": ["q_proj"]}}, "layers are of part lora; got part 'both'"),
    "encoders": ({"encoder": {"dim": 4}}, "encoder must be left out with start"),
    "an optimiser of hidden layers": ({"train": {**TRAIN, "optimizer": "muon"}}, "must be adamw or sgd with start"),
    "another side": ({"data": {**DATA, "side": 48}}, "data.side must be 32, that of"),
    "layers that are not there": (
        {"start": {"part": "lora", "layers": ["qproj"]}}, "no linear layer of .* ends in qproj; there are k_proj"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_settings_that_do_not_go_together_are_refused(name: str, models: dict, tmp_path: Path) -> None:
    changes, message = WRONG[name]
    if changes.get("start", {}).get("part") == "lora":
        pytest.importorskip("peft", reason="needs vergence[lora]")
    with pytest.raises(ConfigError, match=message):
        trained(tmp_path / "run", models["clip"], "both", **changes)
    assert not (tmp_path / "run").exists()


def test_another_part_does_not_go_on_from_a_checkpoint(models: dict, tmp_path: Path) -> None:
    trained(tmp_path, models["clip"], "text")
    with pytest.raises(ConfigError, match="holds a job with another settings"):
        trained(tmp_path, models["clip"], "heads")


def test_a_missing_extra_is_named(models: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(MissingExtraError, match=r"'peft'; install it with: pip install 'vergence\[lora\]'"):
        trained(tmp_path / "run", models["clip"], "lora")


def test_a_folder_without_both_towers_is_no_start(models: dict, tmp_path: Path) -> None:
    save_pair(tmp_path / "vit", "clip")
    small = {"hidden_size": 4, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 4}
    vit = transformers.ViTModel(transformers.ViTConfig(image_size=16, patch_size=8, **small))
    vit.save_pretrained(tmp_path / "vit")
    with pytest.raises(ConfigError, match="ViTModel, which has not both an image tower and a text tower"):
        trained(tmp_path / "run", tmp_path / "vit", "both")


def test_new_words_begin_as_unknown_and_are_learned(models: dict, tmp_path: Path) -> None:
    before = load_encoder(models["own"])
    captions = ["a quux of zap", "a zap"]
    was = before.embed_texts(captions)
    known = before.vocabulary.words
    before.learn_words(captions)
    assert torch.equal(before.embed_texts(captions), was)
    assert set(before.vocabulary.words[len(known) :]) == {"quux", "zap"} - set(known)
    assert before.vocabulary.words[: len(known)] == known
    others = {"data": {**DATA, "policy": "labels"}, "start": {"new_words": True}}
    trained(tmp_path / "run", models["own"], "text", **others)
    after = load_encoder(tmp_path / "run")
    assert len(after.vocabulary) > len(known)
    new = after.text.embedding.weight[len(known) :]
    assert len({tuple(row) for row in new.tolist()}) > 1  # words that always come together stay equal
    assert trained(
        tmp_path / "run", models["own"], "text", data={**DATA, "policy": "labels"}, start={"new_words": True}
    )


@pytest.mark.parametrize(
    ("kind", "part", "message"), [("own", "heads", "by part both or text"), ("clip", "both", "its tokenizer is part")]
)
def test_new_words_where_there_can_be_none_are_refused(
    kind: str, part: str, message: str, models: dict, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        trained(tmp_path / "run", models[kind], part, start={"new_words": True})
