"""`LatentModel`: what reaches the text, what never does, and what real captions add."""

import pytest
import torch

from vergence import Factor, FactorSpace, Misalignment
from vergence.errors import VergenceError
from vergence.latent import (
    AdditiveNoise,
    Captioning,
    Gaussian,
    Independent,
    LabelSwap,
    LatentModel,
    PerFactor,
    Redraw,
    Rounded,
    wishart,
)
from vergence.random import generator

SPACE = FactorSpace((Factor("hue"), Factor("shape", ("cube", "ball", "cone")), Factor("size"), Factor("tone")))
N = 4_000


def test_a_batch_is_a_slice_of_what_was_drawn() -> None:
    latents = LatentModel(SPACE).sample(10, Misalignment({"hue"}), generator=generator(0))
    part = latents[2:5]
    assert len(part) == 3
    assert torch.equal(part.semantics, latents.semantics[2:5])
    assert torch.equal(part.image_private, latents.image_private[2:5])
    assert torch.equal(latents.column("size"), latents.semantics[:, 2])


def test_a_stream_never_repeats_and_is_set_by_its_generator() -> None:
    model, bias = LatentModel(SPACE), Misalignment({"hue"})
    first, second = (
        batch.semantics for _, batch in zip(range(2), model.stream(8, bias, generator=generator(0)), strict=False)
    )
    again = next(model.stream(8, bias, generator=generator(0))).semantics
    assert torch.equal(first, again)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_noise_reaches_its_share_of_records(probability: float) -> None:
    model = LatentModel(SPACE, perturbation=AdditiveNoise(probability, scale=2.0))
    latents = model.sample(N, Misalignment({"hue", "size"}, {"size"}), generator=generator(0))
    error = latents.text_semantics[:, 2] - latents.semantics[:, 2]
    assert abs((error != 0).float().mean() - probability) < 0.03
    if probability:
        assert abs(error[error != 0].std() - 2.0) < 0.15


def test_correlated_noise_has_the_covariance_of_the_perturbed_factors() -> None:
    covariance = wishart(4, generator=generator(1))
    space = FactorSpace(tuple(Factor(name) for name in "abcd"))
    model = LatentModel(space, perturbation=AdditiveNoise(1.0, covariance=covariance))
    latents = model.sample(100_000, Misalignment(tuple("abcd"), tuple("bd")), generator=generator(0))
    noise = (latents.text_semantics - latents.semantics)[:, [1, 3]].double()
    torch.testing.assert_close(noise.T.cov(), covariance[[1, 3]][:, [1, 3]], rtol=0.05, atol=0.05)


def test_a_swapped_label_is_wrong_in_its_share_and_all_wrong_values_are_equally_frequent() -> None:
    model = LatentModel(SPACE, perturbation=LabelSwap(0.6))
    latents = model.sample(N, Misalignment({"hue", "shape"}, {"shape"}), generator=generator(0))
    step = (latents.text_semantics[:, 1] - latents.semantics[:, 1]) % 3
    torch.testing.assert_close(step.long().bincount() / N, torch.tensor([0.4, 0.3, 0.3]), atol=0.03, rtol=0)


def test_a_redrawn_record_tells_nothing_and_keeps_the_range() -> None:
    model = LatentModel(SPACE, Gaussian(torch.eye(4) * 4), Redraw(1.0))
    latents = model.sample(N, Misalignment(SPACE.names, {"shape", "size"}), generator=generator(0))
    truth, record = latents.semantics, latents.text_semantics
    assert set(record[:, 1].tolist()) == {0.0, 1.0, 2.0}
    assert abs((record[:, 1] == truth[:, 1]).float().mean() - 1 / 3) < 0.03
    assert torch.corrcoef(torch.stack([truth[:, 2], record[:, 2]]))[0, 1].abs() < 0.04
    assert abs(record[:, 2].std() - 2.0) < 0.1


def test_each_factor_can_be_perturbed_in_its_own_way() -> None:
    parts = PerFactor({"shape": LabelSwap(1.0), "size": AdditiveNoise(0.5), "tone": Redraw({"tone": 0.0})})
    latents = LatentModel(SPACE, perturbation=parts).sample(
        N, Misalignment(SPACE.names, {"shape", "size", "tone"}), generator=generator(0)
    )
    wrong = (latents.text_semantics != latents.semantics).float().mean(0)
    torch.testing.assert_close(wrong, torch.tensor([0.0, 1.0, 0.5, 0.0]), atol=0.03, rtol=0)


def test_a_graded_factor_is_mentioned_in_its_share_and_then_truly() -> None:
    model = LatentModel(SPACE, captioning=Captioning(mention={"tone": 0.1, "shape": (1.0, 0.5, 0.0)}))
    latents = model.sample(N, Misalignment(SPACE.names), generator=generator(0))
    said = ~latents.text_semantics.isnan()
    assert latents.graded == {"tone", "shape"}
    assert said[:, [0, 2]].all()
    assert abs(said[:, 3].float().mean() - 0.1) < 0.02
    rates = torch.stack([said[latents.semantics[:, 1] == value, 1].float().mean() for value in range(3)])
    torch.testing.assert_close(rates, torch.tensor([1.0, 0.5, 0.0]), atol=0.04, rtol=0)
    assert torch.equal(latents.text_semantics[said], latents.semantics[said])


def test_what_is_remarkable_is_mentioned_more_often() -> None:
    model = LatentModel(SPACE, captioning=Captioning(mention={"tone": lambda s: (s.abs() > 1).to(s.dtype)}))
    latents = model.sample(N, Misalignment({"tone"}), generator=generator(0))
    said = ~latents.text_semantics[:, 3].isnan()
    assert torch.equal(said, latents.semantics[:, 3].abs() > 1)


def test_a_mismatched_text_describes_another_image_wholly() -> None:
    model = LatentModel(SPACE, captioning=Captioning(mismatch=0.2))
    latents = model.sample(N, Misalignment({"hue", "tone"}), generator=generator(0))
    same = latents.text_semantics[:, [0, 3]] == latents.semantics[:, [0, 3]]
    assert torch.equal(same.all(1), same.any(1))
    assert torch.equal(~same.all(1), latents.mismatched)
    assert abs(latents.mismatched.float().mean() - 0.2) < 0.02


def test_invention_states_what_would_have_been_passed_over_and_knows_nothing_of_the_image() -> None:
    model = LatentModel(SPACE, captioning=Captioning(mention=0.5, invention=0.4))
    latents = model.sample(N, Misalignment({"tone"}), generator=generator(0))
    record, truth = latents.text_semantics[:, 3], latents.semantics[:, 3]
    invented = ~record.isnan() & (record != truth)
    assert abs((record == truth).float().mean() - 0.5) < 0.03
    assert abs(invented.float().mean() - 0.2) < 0.03
    assert torch.corrcoef(torch.stack([record[invented], truth[invented]]))[0, 1].abs() < 0.1


def test_words_coarser_than_the_world_are_written_down_so() -> None:
    model = LatentModel(SPACE, captioning=Captioning(record={"hue": Rounded((-1.0, 1.0))}))
    latents = model.sample(100, Misalignment({"hue", "tone"}), generator=generator(0))
    assert torch.equal(latents.text_semantics[:, 0], latents.semantics[:, 0].sign())
    assert torch.equal(latents.text_semantics[:, 3], latents.semantics[:, 3])


def test_private_variables_have_their_covariance() -> None:
    covariance = torch.tensor([[2.0, 1.0], [1.0, 3.0]])
    model = LatentModel(SPACE, n_image_private=2, n_text_private=0, image_private_covariance=covariance)
    latents = model.sample(50_000, Misalignment({"hue"}), generator=generator(0))
    torch.testing.assert_close(latents.image_private.T.cov(), covariance, atol=0.08, rtol=0)
    assert latents.text_private.shape == (50_000, 0)


def test_two_hundred_factors_are_sampled_like_ten() -> None:
    space = FactorSpace(tuple(Factor(f"s{i}") for i in range(200)))
    model = LatentModel(space, Gaussian.wishart(200, generator=generator(0)))
    bias = Misalignment(space.names[:150], space.names[100:150])
    latents = model.sample(64, bias, generator=generator(1))
    assert torch.equal(latents.text_semantics[:, :100], latents.semantics[:, :100])
    assert latents.text_semantics[:, 150:].isnan().all()


def test_a_stream_is_split_once_and_does_not_hang_on_what_its_generator_does_later() -> None:
    model, bias = LatentModel(SPACE), Misalignment({"hue"})
    source = generator(0)
    batches = model.stream(8, bias, generator=source)
    first = next(batches)
    source.manual_seed(0)
    second = next(batches)
    assert not torch.equal(first.semantics, second.semantics)
    assert not torch.equal(first.image_private, second.image_private)
    assert torch.equal(first.semantics, model.sample(8, bias, generator=generator(0)).semantics)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LatentModel(SPACE, n_image_private=-1), "n_image_private must be >= 0"),
        (lambda: LatentModel(SPACE, image_private_covariance=torch.eye(3)), "has 3 rows; n_image_private is 5"),
        (lambda: LatentModel(SPACE, text_private_covariance=-torch.eye(5)), "text_private_covariance must be positive"),
        (lambda: LatentModel(SPACE, Gaussian(torch.eye(2))), "the space has 4 factors"),
        (lambda: LatentModel(SPACE).sample(0, Misalignment({"hue"}), generator=generator(0)), "n must be >= 1"),
        (lambda: LatentModel(SPACE).check(Misalignment({"hues"})), "unknown factor 'hues'.*Did you mean 'hue'"),
        (lambda: LatentModel(SPACE).check(Misalignment({"hue", "shape"}, {"shape"})), "noise cannot be added"),
        (
            lambda: LatentModel(SPACE, perturbation=LabelSwap()).check(Misalignment({"hue", "tone"}, {"hue"})),
            "it has no labels to swap",
        ),
        (
            lambda: LatentModel(SPACE, perturbation=PerFactor({"hue": Redraw()})).check(
                Misalignment({"hue", "tone"}, {"tone"})
            ),
            "unknown factor 'tone'; known: hue",
        ),
        (
            lambda: LatentModel(SPACE, perturbation=AdditiveNoise(covariance=torch.eye(2))).check(
                Misalignment({"hue"})
            ),
            "but the space has 4 factors",
        ),
        (
            lambda: LatentModel(SPACE, perturbation=Redraw({"hue": 0.5})).check(
                Misalignment({"hue", "tone"}, {"tone"})
            ),
            "unknown factor 'tone'; known: hue",
        ),
        (
            lambda: LatentModel(SPACE, perturbation=Redraw({"hues": 0.5, "hue": 0.1})).check(Misalignment({"hue"})),
            "unknown factor 'hues'.*Did you mean 'hue'",
        ),
        (
            lambda: LatentModel(SPACE).stream(0, Misalignment({"hue"}), generator=generator(0)),
            "batch_size must be >= 1",
        ),
        (
            lambda: LatentModel(SPACE, captioning=Captioning(record={"shape": lambda s: s + 0.5})).sample(
                4, Misalignment({"shape"}), generator=generator(0)
            ),
            "the record of factor 'shape' must give positions of its 3 values",
        ),
        (lambda: AdditiveNoise(1.2), r"probability must be a probability in \[0, 1\]; got 1.2"),
        (lambda: Redraw({"hue": -0.1}), "probability of factor 'hue' must be a probability"),
        (
            lambda: LatentModel(SPACE, perturbation=Redraw({"hue": 0.5})).sample(
                4, Misalignment({"hue", "tone"}, {"tone"}), generator=generator(0)
            ),
            "unknown factor 'tone'; known: hue",
        ),
        (lambda: AdditiveNoise(scale=0.0), "scale must be a finite number > 0"),
        (lambda: AdditiveNoise(covariance=torch.ones(2, 2)), "covariance of the noise must be positive definite"),
        (lambda: Captioning(mismatch=1.5), "mismatch must be a probability"),
        (lambda: Captioning(invention=-1), "invention must be a probability"),
        (lambda: Captioning(mention={"hue": 3.0}), "mention of factor 'hue' must be a probability"),
        (lambda: Captioning(mention=2.0), "mention must be a probability"),
        (lambda: LatentModel(SPACE, captioning=Captioning(mention={"shape": (1.0, 0.0)})), "got 2 for 3 values"),
        (lambda: LatentModel(SPACE, captioning=Captioning(mention={"hues": 0.5})), "unknown factor 'hues'"),
        (lambda: LatentModel(SPACE, captioning=Captioning(record={"hues": Rounded((0.0,))})), "unknown factor 'hues'"),
        (
            lambda: LatentModel(SPACE, Independent(), captioning=Captioning(mention={"hue": lambda s: s})).sample(
                50, Misalignment({"hue"}), generator=generator(0)
            ),
            "must give one probability in .* per value",
        ),
        (lambda: Rounded(()), "needs at least one value"),
    ],
)
def test_impossible_models_are_refused(make, message: str) -> None:
    with pytest.raises(VergenceError, match=message):
        make()
