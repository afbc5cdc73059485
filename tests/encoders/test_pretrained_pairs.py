"""Pretrained pairs of towers: what the original library gives comes out, and nothing is guessed."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tests.encoders.pretrained import WORDS, edit, save_pair, save_tokenizer

from vergence.encoders import TransformersPair
from vergence.errors import ConfigError, CorpusError

transformers = pytest.importorskip("transformers", reason="needs vergence[transformers]")

KINDS = ("clip", "siglip", "siglip2")
TEXTS = ["a photo of a red heart", "two dogs", "a", "a photo of a green dog of a cat of a dog of a heart of a dog"]


def noise(width: int, height: int, mode: str = "RGB") -> Image.Image:
    values = np.random.default_rng(width).integers(0, 256, (height // 4 + 1, width // 4 + 1, 4), dtype=np.uint8)
    return Image.fromarray(values, "RGBA").resize((width, height), Image.Resampling.BICUBIC).convert(mode)


IMAGES = {
    "large": noise(301, 200),
    "tall": noise(99, 402),
    "small": noise(11, 17),
    "exact": noise(32, 32),
    "one pixel more": noise(32, 33),
    "grey": noise(64, 50, "L"),
    "palette": noise(70, 70).quantize(16),
    "transparent": noise(80, 61, "RGBA"),
    "grey, transparent": noise(80, 61, "LA"),
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("models")
    return {kind: (folder / kind, save_pair(folder / kind, kind)) for kind in KINDS}


def features(output: Any) -> torch.Tensor:
    return output if isinstance(output, torch.Tensor) else output.pooler_output


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", IMAGES)
def test_an_image_becomes_the_pixels_that_the_original_makes_of_it(kind: str, name: str, saved: dict) -> None:
    folder, _ = saved[kind]
    original = transformers.AutoImageProcessor.from_pretrained(folder)
    wanted = original(IMAGES[name], return_tensors="pt")["pixel_values"][0]
    model = TransformersPair(folder)
    found = model.preprocessing(torch.tensor(model.prepared(IMAGES[name]))[None])[0]
    step = 1 / 255 / min(model.preprocessing.std)
    assert float((found - wanted).abs().max()) <= step * 1.001


@pytest.mark.parametrize("kind", KINDS)
def test_features_tokens_and_logits_are_those_of_the_original(kind: str, saved: dict) -> None:
    folder, original = saved[kind]
    model = TransformersPair(folder)
    images = list(IMAGES.values())
    processor = transformers.AutoImageProcessor.from_pretrained(folder)
    pixels = processor(images, return_tensors="pt")["pixel_values"]
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    padding = "max_length" if kind.startswith("siglip") else True
    tokens = tokenizer(TEXTS, padding=padding, truncation=True, max_length=12, return_tensors="pt")
    tokens = {name: tokens[name] for name in ("input_ids", "attention_mask") if name in tokens}
    assert torch.equal(model.tokenize(TEXTS)["input_ids"], tokens["input_ids"])
    with torch.inference_mode():
        z_image = features(original.get_image_features(pixel_values=pixels))
        z_text = features(original.get_text_features(**tokens))
        logits = original(pixel_values=pixels, **tokens).logits_per_image
    found_image, found_text = model.embed_images(images, batch_size=4), model.embed_texts(TEXTS, batch_size=3)
    torch.testing.assert_close(found_text, z_text, atol=1e-5, rtol=0)
    torch.testing.assert_close(found_image, z_image, atol=1e-5, rtol=0)
    cosines = torch.nn.functional.normalize(found_image) @ torch.nn.functional.normalize(found_text).T
    torch.testing.assert_close(cosines * model.logit_scale + model.logit_bias, logits, atol=1e-4, rtol=1e-4)


def test_a_file_that_is_turned_is_seen_upright_and_what_is_clear_is_white(saved: dict, tmp_path: Path) -> None:
    model = TransformersPair(saved["clip"][0])
    turned = Image.Exif()
    turned[0x0112] = 6
    file = io.BytesIO()
    noise(40, 30).save(file, "PNG", exif=turned)
    upright = noise(40, 30).transpose(Image.Transpose.ROTATE_270)
    assert np.array_equal(model.prepared(file.getvalue()), model.prepared(upright))
    clear = Image.new("RGBA", (32, 32), (200, 10, 30, 0))
    assert np.unique(model.prepared(clear)).tolist() == [255]


def test_an_edge_beyond_the_side_is_cut_off(tmp_path: Path) -> None:
    save_pair(tmp_path, "clip")
    edit(tmp_path / "preprocessor_config.json", size={"shortest_edge": 37}, resample=2)
    model = TransformersPair(tmp_path)
    original = transformers.AutoImageProcessor.from_pretrained(tmp_path)
    wanted = original(IMAGES["large"], return_tensors="pt")["pixel_values"]
    found = model.preprocessing(torch.tensor(model.prepared(IMAGES["large"]))[None])
    assert float((found - wanted).abs().max()) <= 1 / 255 / min(model.preprocessing.std) * 1.001


SPOILED: dict[str, tuple[Any, type[Exception], str]] = {
    "no tokenizer": (lambda at: [one.unlink() for one in at.glob("token*")], CorpusError, "holds no tokenizer"),
    "no preprocessing": (
        lambda at: (at / "preprocessor_config.json").unlink(), CorpusError, "preprocessor_config.json is missing"
    ),
    "no weights": (lambda at: (at / "model.safetensors").unlink(), CorpusError, "holds no model that can be loaded"),
    "a tokenizer of more words": (
        lambda at: save_tokenizer(at, words=[*WORDS, "more"]), ConfigError, "has 15 tokens, the model is for 14"
    ),
    "images that are padded": (
        lambda at: edit(at / "preprocessor_config.json", do_pad=True), ConfigError, "in a way that is not known"
    ),
    "oblong images": (
        lambda at: edit(at / "preprocessor_config.json", crop_size={"height": 32, "width": 48}), ConfigError, "squares"
    ),
    "images that keep their aspect": (
        lambda at: transformers.Siglip2ImageProcessorPil().save_pretrained(at), ConfigError, "of the NaFlex kind"
    ),
    "a config that is no JSON": (
        lambda at: (at / "preprocessor_config.json").write_text("{"), CorpusError, "preprocessor_config.json"
    ),
}  # fmt: skip


@pytest.mark.parametrize("spoil", SPOILED)
def test_a_folder_that_lacks_a_part_is_refused_by_name(spoil: str, tmp_path: Path) -> None:
    save_pair(tmp_path, "clip")
    change, kind, said = SPOILED[spoil]
    change(tmp_path)
    with pytest.raises(kind, match=said):
        TransformersPair(tmp_path)


def test_a_model_without_a_text_tower_is_refused(tmp_path: Path) -> None:
    save_pair(tmp_path, "clip")
    small = {"hidden_size": 4, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 4}
    transformers.ViTModel(transformers.ViTConfig(image_size=16, patch_size=8, **small)).save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match="ViTModel, which has not both an image tower and a text tower"):
        TransformersPair(tmp_path)


def test_one_image_in_place_of_a_list_is_refused(saved: dict) -> None:
    model = TransformersPair(saved["clip"][0])
    with pytest.raises(ConfigError, match="must be a list of images"):
        model.embed_images(IMAGES["large"])
    with pytest.raises(ConfigError, match="must be a list of texts"):
        model.embed_texts("a dog")
    with pytest.raises(ConfigError, match="nothing to embed"):
        model.embed_images([])


def test_nothing_of_a_saved_model_is_unpickled(tmp_path: Path) -> None:
    save_pair(tmp_path, "clip")
    (tmp_path / "model.safetensors").unlink()
    torch.save({"weights": json.dumps}, tmp_path / "pytorch_model.bin")
    with pytest.raises(CorpusError, match="holds no model that can be loaded"):
        TransformersPair(tmp_path)
