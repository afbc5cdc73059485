"""A captioner behind the interface of other models, and arithmetic with it."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vergence.cli.main import main
from vergence.encoders import ConvEncoder, Framing
from vergence.encoders.captions import CaptionVocabulary
from vergence.encoders.qformer import QFormer
from vergence.encoders.tokens import FrozenTokens
from vergence.errors import ConfigError
from vergence.training import captioner_pair
from vergence.training.captioner import Captioner
from vergence.training.captioner_files import save_captioner
from vergence.training.captioner_pair import CaptionerPair
from vergence.training.models import ImageTextModel, weights_digest


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    torch.manual_seed(0)
    frozen = FrozenTokens(ConvEncoder(4, widths=(8, 16)), framing=Framing(side=16))
    monkeypatch.setattr(captioner_pair, "remembered_tokens", lambda *_, **__: frozen)
    vocabulary = CaptionVocabulary.of(["a small red cup", "a large blue hat"])
    model = QFormer(token_dim=16, n_words=len(vocabulary), dim=8, heads=2, queries=3)
    save_captioner(tmp_path / "run", Captioner(model, vocabulary))
    return tmp_path / "run"


def test_images_are_as_many_vectors_as_there_are_queries_whatever_the_batch(folder):
    pair = CaptionerPair(folder)
    assert isinstance(pair, ImageTextModel)
    images = [np.random.default_rng(n).integers(0, 256, (20, 12, 3), dtype=np.uint8) for n in range(5)]
    z_image, z_text = pair.embed_images(images, batch_size=2), pair.embed_texts(["a red cup", "a hat"])
    assert z_image.shape == (5, 3, z_text.shape[1])
    torch.testing.assert_close(z_image, pair.embed_images(images), rtol=1e-5, atol=1e-6)
    assert weights_digest(pair) == weights_digest(CaptionerPair(folder))
    with pytest.raises(ConfigError, match="texts must be a list"):
        pair.embed_texts("a cup")


def test_arithmetic_takes_a_captioner(folder, tmp_path, capsys):
    rows = ["path,concept,tone"]
    for number in range(8):
        pixels = np.random.default_rng(number).integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
        rows.append(f"{number}.png,{'cup' if number < 4 else 'hat'},{'red' if number % 2 else 'blue'}")
    (tmp_path / "things.csv").write_text("\n".join(rows))
    command = ["arithmetic", str(tmp_path / "things.csv"), "--model", str(folder), "--out", str(tmp_path / "out")]
    assert main(command) == 0
    found = json.loads((tmp_path / "out" / "arithmetic.json").read_text())
    assert {row["queries"] for row in found["factors"]} == {8}
    assert main([*command, "--overwrite", "--dtype", "float16"]) == 2
    assert "dtype must be float32 for a captioner" in capsys.readouterr().err
