"""ConSE: the classifier as it was fitted, the convex combination as it is defined, and folders that are not whole."""

import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file, save_file
from tests.encoders.conse import NAMES, ported, wheels
from tests.encoders.pretrained import edit, save_tokenizer

from vergence.encoders import ConSEPair, EfficientNetLite0, folded
from vergence.errors import ConfigError, CorpusError
from vergence.training import ImageTextModel, load_model
from vergence.training.conse import build_conse

pytest.importorskip("transformers", reason="needs vergence[transformers]")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("conse")
    parts = wheels(place / "wheels")
    build_conse(place / "conse", top=2, packages=place / "wheels", parts=parts)
    return place / "conse"


def slow_logits(weights: dict, pixels: torch.Tensor) -> torch.Tensor:
    """EfficientNet-Lite0 layer by layer, with normalisation apart and TensorFlow's padding, in float64."""
    held = {name: value.double() for name, value in weights.items()}

    def layer(image, name, norm, stride, *, groups=1):
        weight = held[f"{name}.weight"]
        kernel, pads = weight.shape[-1], []
        for length in (image.shape[3], image.shape[2]):
            total = max((math.ceil(length / stride) - 1) * stride + kernel - length, 0)
            pads += [total // 2, total - total // 2]
        image = F.conv2d(F.pad(image, pads), weight, stride=stride, groups=groups)
        named = (held[f"{norm}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
        return F.batch_norm(image, *named, eps=1e-3)

    image = F.relu6(layer(pixels.double(), "_conv_stem", "_bn0", 2))
    strides = [1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1]
    for number, stride in enumerate(strides):
        block, before = f"_blocks.{number}", image
        if number:
            image = F.relu6(layer(image, f"{block}._expand_conv", f"{block}._bn0", 1))
        image = F.relu6(layer(image, f"{block}._depthwise_conv", f"{block}._bn1", stride, groups=image.shape[1]))
        image = layer(image, f"{block}._project_conv", f"{block}._bn2", 1)
        image = image + before if image.shape == before.shape and stride == 1 else image
    image = F.relu6(layer(image, "_conv_head", "_bn1", 1)).mean((2, 3))
    return image @ held["_fc.weight"].T + held["_fc.bias"]


@pytest.mark.parametrize("side", [33, 64])
def test_folded_weights_give_the_logits_of_the_layers_as_they_were_fitted(side: int) -> None:
    weights = ported(5)
    model = EfficientNetLite0(5).double().eval()
    model.load_state_dict({name: value.double() for name, value in folded(weights).items()})
    pixels = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    with torch.inference_mode():
        found = model(pixels)
    assert found.std() > 1e-3
    torch.testing.assert_close(found, slow_logits(weights, pixels), rtol=1e-4, atol=1e-4)  # kept in float32


def test_an_image_lies_where_the_names_of_its_classes_lie(folder: Path) -> None:
    model = load_model(folder)
    assert isinstance(model, ConSEPair)
    assert isinstance(model, ImageTextModel)
    assert model.names == tuple(NAMES.values())
    image = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    pixels = (torch.from_numpy(model.prepared(Image.fromarray(image))).double() - 127) / 128
    p = model.model.classifier(pixels[None].float()).softmax(1)[0].tolist()
    s = model.embed_texts(list(NAMES.values())).double()
    kept = sorted(range(3), key=lambda k: -p[k])[:2]
    wanted = sum(p[k] * s[k] for k in kept) / sum(p[k] for k in kept)
    torch.testing.assert_close(model.embed_images([image])[0].double(), wanted, rtol=1e-4, atol=1e-5)


def test_a_text_lies_where_it_does_whatever_is_encoded_beside_it(folder: Path) -> None:
    model = load_model(folder)
    alone, beside = model.embed_texts(["cat"]), model.embed_texts(["cat", "a photo of two red dogs"])
    torch.testing.assert_close(alone[0], beside[0], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(beside.norm(dim=1), torch.ones(2))
    assert model.embed_texts(["dog " * 99]).shape == (1, 16)  # cut


def test_images_are_prepared_as_the_classifier_s_authors_do(folder: Path) -> None:
    model = load_model(folder)
    wide = Image.fromarray(np.random.default_rng(1).integers(0, 256, (300, 400, 3), dtype=np.uint8))
    left = (341 - 224) / 2
    by_hand = wide.resize((341, 256), Image.Resampling.BICUBIC).crop((round(left), 16, round(left) + 224, 240))
    assert (model.prepared(wide) == np.asarray(by_hand).transpose(2, 0, 1)).all()
    ends = torch.tensor([0, 127, 255], dtype=torch.uint8)[:, None, None, None].expand(3, 3, 224, 224)
    scaled = model.preprocessing(ends)[:, 0, 0, 0]
    torch.testing.assert_close(scaled, torch.tensor([-127 / 128, 0, 1.0]), atol=1e-6, rtol=0)


def broken(folder: Path, tmp_path: Path) -> Path:
    return shutil.copytree(folder, tmp_path / "copy")


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("classes.txt", "classes.txt"),
        ("classifier.safetensors", "no weights"),
        ("text/tokenizer.json", "holds no tokenizer"),
        ("text/config.json", "holds no model"),
    ],
)
def test_a_folder_that_lacks_a_part_is_refused_by_name(folder: Path, tmp_path: Path, file: str, words: str) -> None:
    copy = broken(folder, tmp_path)
    (copy / file).unlink()
    with pytest.raises(CorpusError, match=words) as raised:
        load_model(copy)
    assert len(str(raised.value).splitlines()) == 1


def test_parts_that_do_not_belong_together_are_refused(folder: Path, tmp_path: Path) -> None:
    copy = broken(folder, tmp_path)
    (copy / "classes.txt").write_text("dog\ncat\n")
    with pytest.raises(ConfigError, match=r"is of another model: classify.weight is \(3, 1280\), not \(2, 1280\)"):
        load_model(copy)
    (copy / "classes.txt").write_text("dog\n\ncat\n")
    with pytest.raises(CorpusError, match="a class without a name"):
        load_model(copy)
    shutil.copy(folder / "classes.txt", copy)
    edit(copy / "conse.json", top=4)
    with pytest.raises(ConfigError, match=r"top must be <= 3 \(classes.txt names no more\); got 4"):
        load_model(copy)
    for change in ({"top": None}, {"framing": {"side": 0}}, {"preprocessing": {}}):
        shutil.copy(folder / "conse.json", copy)
        edit(copy / "conse.json", **change)
        with pytest.raises(CorpusError, match="does not say how images are prepared"):
            load_model(copy)
    shutil.copy(folder / "conse.json", copy)
    save_tokenizer(copy / "text", words=["a"])
    (copy / "text" / "model.safetensors").rename(tmp_path / "kept")
    weights = load_file(tmp_path / "kept")
    save_file(weights, copy / "text" / "model.safetensors", {"format": "pt"})
    load_model(copy)  # a smaller vocabulary within what is padded: as for other models
    save_tokenizer(copy / "text", words=[f"w{k}" for k in range(40)])
    with pytest.raises(ConfigError, match="has 44 tokens, the model is for 14"):
        load_model(copy)
