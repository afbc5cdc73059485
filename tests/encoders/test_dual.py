"""Images and texts as they are: whatever holds an image, its embedding is the same."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vergence.encoders import BagOfWordsEncoder, ConvEncoder, DualEncoder, Vocabulary
from vergence.errors import ConfigError, CorpusError, ShapeError


@pytest.fixture(scope="module")
def encoder() -> DualEncoder:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        words = Vocabulary.of(["a red cube", "a blue ball"])
        image = ConvEncoder(4, widths=(4, 8), hidden=8)
        return DualEncoder(image, BagOfWordsEncoder(len(words), 4), side=16, vocabulary=words)


def test_an_image_is_embedded_alike_whatever_holds_it(encoder: DualEncoder, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(256, size=(20, 30, 3), dtype=np.uint8)
    image, file = Image.fromarray(pixels), io.BytesIO()
    image.save(file, "PNG")
    (tmp_path / "a.png").write_bytes(file.getvalue())
    forms = [
        image, pixels, torch.from_numpy(pixels), torch.from_numpy(pixels).permute(2, 0, 1), pixels.astype(np.int64),
        file.getvalue(), tmp_path / "a.png", str(tmp_path / "a.png"), image.convert("RGBA"),
    ]  # fmt: skip
    z = encoder.embed_images(forms, batch_size=4)
    assert z.shape == (9, 4)
    assert not z.requires_grad
    torch.testing.assert_close(z, z[:1].expand(9, 4))
    assert torch.equal(encoder.embed_images(np.stack([pixels, pixels])), z[:2])
    assert encoder.embed_images([Image.new("L", (5, 5)), np.zeros((4, 4)).astype(np.uint8)]).shape == (2, 4)


def test_texts_are_embedded_alike_in_whatever_company(encoder: DualEncoder) -> None:
    z = encoder.embed_texts(["a red cube", "unknown", "", "a red cube " * 50], batch_size=3)
    torch.testing.assert_close(z[0], encoder.embed_texts(iter(["A red, cube!"]))[0])
    assert z.shape == (4, 4)


def test_the_mode_of_the_encoder_is_put_back(encoder: DualEncoder) -> None:
    encoder.train()
    encoder.image.head.eval()
    encoder.embed_images([np.zeros((4, 4, 3), np.uint8)])
    assert encoder.image.stages.training
    assert not encoder.image.head.training


def test_what_is_no_list_of_images_or_texts_is_refused(encoder: DualEncoder) -> None:
    image = Image.new("RGB", (4, 4))
    for one in (image, "a.png", np.zeros((4, 4, 3), np.uint8)):
        with pytest.raises(ConfigError, match=r"images must be a list of images; got one, of .*\. Write \[image\]"):
            encoder.embed_images(one)
    with pytest.raises(ConfigError, match="texts must be a list of texts; got the string 'red'"):
        encoder.embed_texts("red")
    with pytest.raises(ConfigError, match="nothing to embed"):
        encoder.embed_images([])
    with pytest.raises(ShapeError, match=r"pixels must be whole numbers in \[0, 255\]; got float64"):
        encoder.embed_images([np.zeros((4, 4, 3))])
    with pytest.raises(ShapeError, match=r"must be of shape .*; got \(4, 4, 7\)"):
        encoder.embed_images([np.zeros((4, 4, 7), np.uint8)])
    with pytest.raises(ShapeError, match="must be a path, bytes, a Pillow image or an array; got int"):
        encoder.embed_images([3])
    with pytest.raises(CorpusError, match=r"nowhere\.png: no such file"):
        encoder.embed_images(["nowhere.png"])
    bare = DualEncoder(encoder.image, encoder.text)
    with pytest.raises(ConfigError, match="this encoder has no vocabulary"):
        bare.embed_texts(["red"])
    with pytest.raises(ShapeError, match=r"images of 4 x 4 and 5 x 4 pixels .* pass side="):
        bare.embed_images([image, Image.new("RGB", (5, 4))])
    assert bare.embed_images([image, image]).shape == (2, 4)
