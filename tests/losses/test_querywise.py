import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.reference import captioning as slow
from torch import Tensor
from torch.testing import assert_close

from vergence.errors import ConfigError, ShapeError
from vergence.losses import (
    DiagonalGaussian,
    LearnedTemperature,
    Objective,
    OutputTerm,
    WeightedTerm,
    alignment_penalty,
    best_query,
    captioning_loss,
    hard_negatives,
    info_nce,
    matching_loss,
    query_contrast,
    query_penalty,
    variational_bottleneck,
    variational_query_penalty,
)
from vergence.random import generator


def batch(n: int = 6, queries: int = 3, dim: int = 5, *, seed: int = 0) -> tuple[Tensor, Tensor]:
    stream = generator(seed)
    z_image = torch.randn(n, queries, dim, generator=stream, dtype=torch.float64)
    return z_image, torch.randn(n, dim, generator=stream, dtype=torch.float64)


def some_same(n: int = 6) -> Tensor:
    same = torch.rand(n, n, generator=generator(5)) < 0.3
    same[0] = True  # an image that all texts are true of
    return same | torch.eye(n, dtype=torch.bool)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("same", [None, some_same()])
def test_query_contrast_and_its_gradient_are_those_of_its_equation(smoothing: float, same: Tensor | None) -> None:
    settings = {"temperature": 0.3, "label_smoothing": smoothing, "same": same}
    leaves = [z.requires_grad_() for z in batch()]
    loss, expected = query_contrast(*leaves, **settings), slow.slow_query_contrast(*leaves, **settings)
    assert_close(loss, torch.as_tensor(expected), rtol=1e-12, atol=0)
    for found, known in zip(torch.autograd.grad(loss, leaves), torch.autograd.grad(expected, leaves), strict=True):
        assert_close(found, known, rtol=1e-10, atol=1e-14)


def test_the_other_losses_are_those_of_their_equations() -> None:
    z_image, z_text = batch()
    assert_close(best_query(z_image, z_text), torch.tensor(slow.slow_best_query(z_image, z_text), dtype=torch.float64))
    assert_close(
        query_penalty(z_image, z_text), torch.as_tensor(slow.slow_query_penalty(z_image, z_text)), rtol=1e-12, atol=0
    )
    image, text = DiagonalGaussian(z_image, z_image.flip(1).tanh()), DiagonalGaussian(z_text, z_text.flip(1).tanh())
    parts = image.mean, image.log_variance, text.mean, text.log_variance
    expected = torch.as_tensor(slow.slow_variational_query_penalty(*parts))
    assert_close(variational_query_penalty(image, text), expected, rtol=1e-12, atol=0)
    logits, targets = z_text.flatten(), z_text.flatten() > 0.5
    assert_close(
        matching_loss(logits, targets), torch.as_tensor(slow.slow_matching_loss(logits, targets)), rtol=1e-12, atol=0
    )
    logits = torch.randn(3, 4, 7, generator=generator(1), dtype=torch.float64)
    ids = torch.tensor([[2, 5, 6, 3], [2, 3, 0, 0], [2, 4, 3, 0]])
    for smoothing in (0.0, 0.2):
        expected = torch.as_tensor(slow.slow_captioning_loss(logits, ids, label_smoothing=smoothing))
        assert_close(captioning_loss(logits, ids, label_smoothing=smoothing), expected, rtol=1e-12, atol=0)


@given(seed=st.integers(0, 2**31))
def test_with_one_query_and_nothing_shared_they_are_the_losses_of_pairs(seed: int) -> None:
    z_image, z_text = batch(queries=1, seed=seed)
    contrast = query_contrast(z_image, z_text, temperature=0.2, label_smoothing=0.1)
    assert_close(contrast, info_nce(z_image[:, 0], z_text, temperature=0.2, label_smoothing=0.1))
    assert_close(query_penalty(z_image, z_text), alignment_penalty(z_image[:, 0], z_text, distance="cosine"))
    image, text = DiagonalGaussian(z_image, z_image.tanh()), DiagonalGaussian(z_text, z_text.tanh())
    assert_close(
        variational_query_penalty(image, text),
        variational_bottleneck(DiagonalGaussian(image.mean[:, 0], image.log_variance[:, 0]), text),
    )


@given(seed=st.integers(0, 2**31), n=st.integers(2, 9), share=st.floats(0, 1))
def test_a_hard_negative_is_never_a_match(seed: int, n: int, share: float) -> None:
    stream = generator(seed)
    similarity = torch.randn(n, n, generator=stream) + 50 * torch.eye(n)
    same = torch.rand(n, n, generator=stream) < share
    found = hard_negatives(similarity, same=same, temperature=0.01, generator=stream)
    true = same | torch.eye(n, dtype=torch.bool)
    for item in range(n):
        for drawn, theirs in ((int(found.texts[item]), true[item]), (int(found.images[item]), true[:, item])):
            assert bool(theirs.all()) if drawn < 0 else not bool(theirs[drawn])


def test_hard_negatives_are_drawn_as_often_as_their_similarity_says() -> None:
    similarity = torch.tensor([[9.0, 0.0, 1.0], [0.0, 9.0, 0.0], [0.0, 0.0, 9.0]])
    stream = generator(0)
    drawn = torch.stack([hard_negatives(similarity, temperature=0.5, generator=stream).texts for _ in range(4000)])
    expected = torch.tensor([0.0, 2.0]).softmax(0)[1]
    assert abs(float((drawn[:, 0] == 2).float().mean()) - float(expected)) < 0.02


def test_padding_and_what_follows_it_are_not_predicted() -> None:
    logits, ids = torch.randn(2, 4, 7, generator=generator(0)), torch.tensor([[2, 5, 3, 0], [2, 4, 6, 3]])
    loss = captioning_loss(logits, ids)
    logits[0, 2:], logits[1, 3] = 100.0, -100.0
    assert torch.equal(captioning_loss(logits, ids), loss)


def test_an_objective_reads_outputs_by_name_and_learns_a_temperature() -> None:
    z_image, z_text = batch()
    temperature = LearnedTemperature(0.2)
    reads = {"z_image": "queries", "z_text": "text"}
    objective = Objective(
        {
            "contrast": OutputTerm(query_contrast, 1.0, reads=reads, temperature=temperature),
            "bottleneck": OutputTerm(query_penalty, lambda progress: 2 * progress, reads=reads),
        }
    )
    parts = objective.on({"queries": z_image, "text": z_text}, progress=0.25)
    expected = query_contrast(z_image, z_text, temperature=0.2) + 0.5 * query_penalty(z_image, z_text)
    assert_close(parts.total, expected, rtol=1e-6, atol=0)  # the logarithm of a temperature is float32
    parts.total.backward()
    assert temperature.log_temperature.grad is not None
    with pytest.raises(ConfigError, match="unknown output 'text'; known: queries"):
        objective.on({"queries": z_image}, progress=0.5)
    with pytest.raises(ConfigError, match="'contrast' reads outputs by name; call objective"):
        objective(z_text, z_text, progress=0.5)
    with pytest.raises(ConfigError, match="'pairs' compares two representations; make it an OutputTerm"):
        Objective({"pairs": WeightedTerm(info_nce)}).on({})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: query_contrast(*batch(1)), "batch must hold >= 2 pairs"),
        (lambda: query_contrast(*batch(), temperature=0.0), "temperature must be a finite number > 0; got 0.0"),
        (lambda: hard_negatives(torch.full((2, 2), torch.nan), generator=generator(0)), "NaN or infinity"),
        (lambda: captioning_loss(torch.zeros(1, 2, 5), torch.tensor([[2, 0]])), "ids must hold a word after the first"),
    ],
)
def test_bad_input_is_refused_in_one_line(call, message: str) -> None:
    with pytest.raises((ConfigError, ShapeError), match=message):
        call()
