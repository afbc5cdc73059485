"""`LatentModel`: what reaches the text, what never does, and what real captions add."""

from dataclasses import dataclass

import pytest
import torch

from vergence import Factor, FactorSpace, Misalignment
from vergence.channels import AdditiveNoise, Channel, LabelSwap, Redraw, Table
from vergence.errors import VergenceError
from vergence.latent import Captioning, Gaussian, Independent, LatentModel, Rounded, wishart
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
    noise = {"size": AdditiveNoise(probability, scale=2.0)}
    bias = Misalignment.of_rates({"hue": 1.0, "size": 1.0}, channels=noise)
    latents = LatentModel(SPACE).sample(N, bias, generator=generator(0))
    error = latents.text_semantics[:, 2] - latents.semantics[:, 2]
    assert abs((error != 0).float().mean() - probability) < 0.03
    if probability:
        assert abs(error[error != 0].std() - 2.0) < 0.15


def test_correlated_noise_has_the_covariance_of_the_perturbed_factors() -> None:
    covariance = wishart(4, generator=generator(1))
    space = FactorSpace(tuple(Factor(name) for name in "abcd"))
    bias = Misalignment(tuple("abcd"), tuple("bd"), channel=AdditiveNoise(1.0, covariance=covariance))
    latents = LatentModel(space).sample(100_000, bias, generator=generator(0))
    noise = (latents.text_semantics - latents.semantics)[:, [1, 3]].double()
    torch.testing.assert_close(noise.T.cov(), covariance[[1, 3]][:, [1, 3]], rtol=0.05, atol=0.05)


def test_a_swapped_label_is_wrong_in_its_share_and_all_wrong_values_are_equally_frequent() -> None:
    bias = Misalignment({"hue", "shape"}, {"shape"}, channel=LabelSwap(0.6))
    latents = LatentModel(SPACE).sample(N, bias, generator=generator(0))
    step = (latents.text_semantics[:, 1] - latents.semantics[:, 1]) % 3
    torch.testing.assert_close(step.long().bincount() / N, torch.tensor([0.4, 0.3, 0.3]), atol=0.03, rtol=0)


def test_a_redrawn_record_tells_nothing_and_keeps_the_range() -> None:
    model = LatentModel(SPACE, Gaussian(torch.eye(4) * 4))
    bias = Misalignment(SPACE.names, {"shape", "size"}, channel=Redraw(1.0))
    latents = model.sample(N, bias, generator=generator(0))
    truth, record = latents.semantics, latents.text_semantics
    assert set(record[:, 1].tolist()) == {0.0, 1.0, 2.0}
    assert abs((record[:, 1] == truth[:, 1]).float().mean() - 1 / 3) < 0.03
    assert torch.corrcoef(torch.stack([truth[:, 2], record[:, 2]]))[0, 1].abs() < 0.04
    assert abs(record[:, 2].std() - 2.0) < 0.1


def test_each_factor_can_be_perturbed_in_its_own_way() -> None:
    bias = Misalignment.of_rates(
        dict.fromkeys(SPACE, 1.0),
        channels={"shape": LabelSwap(1.0), "size": AdditiveNoise(0.5)},
        redraw={"tone": 0.0},
    )
    latents = LatentModel(SPACE).sample(N, bias, generator=generator(0))
    wrong = (latents.text_semantics != latents.semantics).float().mean(0)
    torch.testing.assert_close(wrong, torch.tensor([0.0, 1.0, 0.5, 0.0]), atol=0.03, rtol=0)


def test_a_table_says_each_value_in_its_share() -> None:
    table = [[0.7, 0.0, 0.2], [0.1, 1.0, 0.3], [0.2, 0.0, 0.5]]
    bias = Misalignment.of_rates({"shape": 1.0}, channels={"shape": table})
    latents = LatentModel(SPACE).sample(30_000, bias, generator=generator(0))
    shown, said = latents.semantics[:, 1].long(), latents.text_semantics[:, 1].long()
    found = torch.stack([said[shown == value].bincount(minlength=3) / (shown == value).sum() for value in range(3)])
    torch.testing.assert_close(found.T, torch.tensor(table), atol=0.02, rtol=0)
    assert not (said[shown == 1] != 1).any()


def test_what_is_not_stated_is_the_published_perturbation_of_the_factors_kind() -> None:
    latents = LatentModel(SPACE).sample(N, Misalignment(SPACE.names, {"hue", "shape"}), generator=generator(0))
    wrong = (latents.text_semantics != latents.semantics).float().mean(0)
    torch.testing.assert_close(wrong, torch.tensor([0.75, 0.6, 0.0, 0.0]), atol=0.03, rtol=0)


def test_a_text_may_mention_nothing_and_may_get_all_of_it_wrong() -> None:
    silent = LatentModel(SPACE).sample(8, Misalignment.of_rates(), generator=generator(0))
    assert silent.selected == ()
    assert silent.text_semantics.isnan().all()
    wrong = Misalignment.of_rates(dict.fromkeys(SPACE, 1.0), redraw=dict.fromkeys(SPACE, 1.0))
    assert not wrong.unbiased
    assert LatentModel(SPACE).sample(8, wrong, generator=generator(0)).text_semantics.isfinite().all()


def test_a_graded_factor_is_mentioned_in_its_share_and_then_truly() -> None:
    bias = Misalignment.of_rates({"hue": 1.0, "size": 1.0, "tone": 0.1, "shape": (1.0, 0.5, 0.0)})
    latents = LatentModel(SPACE).sample(N, bias, generator=generator(0))
    said = ~latents.text_semantics.isnan()
    assert latents.graded == {"tone", "shape"}
    assert said[:, [0, 2]].all()
    assert abs(said[:, 3].float().mean() - 0.1) < 0.02
    rates = torch.stack([said[latents.semantics[:, 1] == value, 1].float().mean() for value in range(3)])
    torch.testing.assert_close(rates, torch.tensor([1.0, 0.5, 0.0]), atol=0.04, rtol=0)
    assert torch.equal(latents.text_semantics[said], latents.semantics[said])


def test_what_is_remarkable_is_mentioned_more_often() -> None:
    bias = Misalignment.of_rates({"tone": lambda s: (s.abs() > 1).to(s.dtype)})
    latents = LatentModel(SPACE).sample(N, bias, generator=generator(0))
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
    model = LatentModel(SPACE, captioning=Captioning(invention=0.4))
    latents = model.sample(N, Misalignment.of_rates({"tone": 0.5}), generator=generator(0))
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


@dataclass(frozen=True)
class Unheard(Channel):
    """A channel of one's own, which nothing knows how to draw from."""


def drawn(**said):
    """Draw from a misalignment that mentions some factors at a rate, or always and through a channel."""
    rates = {name: 1.0 if isinstance(one, Channel) else one for name, one in said.items()}
    channels = {name: one for name, one in said.items() if isinstance(one, Channel)}
    return LatentModel(SPACE).sample(4, Misalignment.of_rates(rates, channels=channels), generator=generator(0))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LatentModel(SPACE, n_image_private=-1), "n_image_private must be >= 0"),
        (lambda: LatentModel(SPACE, image_private_covariance=torch.eye(3)), "has 3 rows; n_image_private is 5"),
        (lambda: LatentModel(SPACE, text_private_covariance=-torch.eye(5)), "text_private_covariance must be positive"),
        (lambda: LatentModel(SPACE, Gaussian(torch.eye(2))), "the space has 4 factors"),
        (lambda: LatentModel(SPACE).sample(0, Misalignment({"hue"}), generator=generator(0)), "n must be >= 1"),
        (lambda: LatentModel(SPACE).check(Misalignment({"hues"})), "unknown factor 'hues'.*Did you mean 'hue'"),
        (lambda: drawn(hue=1.0, shape=AdditiveNoise()), "noise cannot be added"),
        (lambda: drawn(hue=LabelSwap(), tone=1.0), "it has no labels to swap"),
        (lambda: drawn(hue=Table([[1, 0.5], [0, 0.5]])), "factor 'hue' is continuous: no table describes it"),
        (lambda: drawn(shape=Table([[1, 0.5], [0, 0.5]])), "the factor has 3: cube, ball, cone"),
        (lambda: drawn(hue=AdditiveNoise(covariance=torch.eye(2))), "but the space has 4 factors"),
        (lambda: drawn(hue=Unheard()), "it is not known how to draw from Unheard.*register"),
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
        (lambda: AdditiveNoise(1.2), r"probability of noise must be a probability in \[0, 1\]; got 1.2"),
        (lambda: AdditiveNoise(scale=0.0), "scale of the noise must be a finite number > 0"),
        (lambda: AdditiveNoise(covariance=torch.ones(2, 2)), "covariance of the noise must be positive definite"),
        (lambda: Captioning(mismatch=1.5), "mismatch must be a probability"),
        (lambda: Captioning(invention=-1), "invention must be a probability"),
        (lambda: drawn(shape=(1.0, 0.0)), "got 2 for 3 values"),
        (lambda: LatentModel(SPACE, captioning=Captioning(record={"hues": Rounded((0.0,))})), "unknown factor 'hues'"),
        (
            lambda: LatentModel(SPACE, Independent()).sample(
                50, Misalignment.of_rates({"hue": lambda s: s}), generator=generator(0)
            ),
            "must give one probability in .* per value",
        ),
        (lambda: Rounded(()), "needs at least one value"),
    ],
)
def test_impossible_models_are_refused(make, message: str) -> None:
    with pytest.raises(VergenceError, match=message):
        make()
