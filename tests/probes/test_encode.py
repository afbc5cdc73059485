"""From views to representations."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from vergence.encoders import BagOfWordsEncoder, ConvEncoder, DualEncoder
from vergence.errors import ConfigError
from vergence.probes import Representations, encode
from vergence.random import generator
from vergence.views import ViewPair


def views(n: int = 11) -> ViewPair:
    images = torch.randint(256, (n, 3, 8, 8), generator=generator(0)).to(torch.uint8)
    return ViewPair(image=images, text=torch.randint(9, (n, 4), generator=generator(1)))


def encoder() -> DualEncoder:
    """Batch norm and dropout: what differs between the modes."""
    torch.manual_seed(0)
    image = nn.Sequential(ConvEncoder(5, widths=(4, 6), hidden=7), nn.Dropout(0.5))
    return DualEncoder(image, nn.Sequential(BagOfWordsEncoder(9, 5), nn.Dropout(0.5)))


def test_is_the_direct_forward_in_evaluation_mode_whatever_the_mode() -> None:
    model = encoder()
    with torch.no_grad():
        z_image, z_text = model.eval()(views().image, views().text)
    for mode in (True, False):
        encoded = encode(model.train(mode), views())
        assert torch.equal(encoded.z_image, z_image)
        assert torch.equal(encoded.z_text, z_text)


@given(batch_size=st.integers(1, 13), n=st.integers(1, 12))
def test_the_batch_size_does_not_matter(batch_size: int, n: int) -> None:
    model = encoder()
    at_once, in_parts = encode(model, views(n)), encode(model, views(n), batch_size=batch_size)
    torch.testing.assert_close(in_parts.z_image, at_once.z_image, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(in_parts.z_text, at_once.z_text, rtol=1e-5, atol=1e-6)


def test_every_part_keeps_its_own_mode_and_every_tensor_its_value() -> None:
    model = encoder().train()
    model.image[0].stages[0].eval()
    modes = [part.training for part in model.modules()]
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    encode(model, views())
    assert [part.training for part in model.modules()] == modes
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_modes_are_put_back_after_an_error_too() -> None:
    model = encoder().train()
    with pytest.raises(RuntimeError, match="num_embeddings"):
        encode(model, ViewPair(image=views().image, text=views().text + 100))
    assert all(part.training for part in model.modules())


def test_representations_are_plain_tensors_that_can_be_trained_on() -> None:
    encoded = encode(encoder(), views())
    assert not encoded.z_image.requires_grad
    weight = torch.ones(5, requires_grad=True)
    (encoded.z_image @ weight).sum().backward()
    torch.testing.assert_close(weight.grad, encoded.z_image.sum(0))
    encoded.z_text.mul_(2)


def test_normalized_rows_have_length_one_and_the_same_direction() -> None:
    encoded = encode(encoder(), views())
    unit = encoded.normalized()
    torch.testing.assert_close(unit.z_image.norm(dim=1), torch.ones(11))
    lengths = encoded.z_text.norm(dim=1, keepdim=True)
    torch.testing.assert_close(unit.z_text * lengths, encoded.z_text)
    zeros = Representations(z_image=torch.zeros(1, 2), z_text=torch.zeros(1, 2))
    assert torch.equal(zeros.normalized().z_image, torch.zeros(1, 2))


def test_nothing_to_encode_and_batches_of_nothing_are_refused() -> None:
    with pytest.raises(ConfigError, match="number of views must be >= 1; got 0"):
        encode(encoder(), views(3).take([]))
    with pytest.raises(ConfigError, match="batch_size must be >= 1; got 0"):
        encode(encoder(), views(), batch_size=0)
