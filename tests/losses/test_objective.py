"""Named, weighted terms."""

import pytest
import torch
from tests.losses.common import pairs

from vergence.errors import ConfigError
from vergence.losses import (
    DiagonalGaussian,
    LearnedTemperature,
    Objective,
    PosteriorTerm,
    Ramp,
    WeightedTerm,
    alignment_penalty,
    info_nce,
    one_versus_rest,
    over_pairs,
    variational_bottleneck,
)
from vergence.random import generator


def make(weight=0.5) -> Objective:
    return Objective(
        {
            "contrast": WeightedTerm(info_nce, 1.0, temperature=LearnedTemperature(0.2)),
            "bottleneck": WeightedTerm(alignment_penalty, weight, distance="cosine"),
        }
    )


def test_total_is_the_weighted_sum_and_terms_are_not_weighted() -> None:
    z = pairs(8, 4)
    parts = make()(*z)
    torch.testing.assert_close(parts.terms["contrast"], info_nce(*z, temperature=torch.tensor(0.2)))
    torch.testing.assert_close(parts.terms["bottleneck"], alignment_penalty(*z, distance="cosine"))
    torch.testing.assert_close(parts.total, parts.terms["contrast"] + 0.5 * parts.terms["bottleneck"])
    assert list(parts.to_floats()) == ["total", "contrast", "bottleneck"]


def test_learned_settings_train_and_travel_with_the_objective() -> None:
    objective, other = make(), make()
    make_step = torch.optim.SGD(objective.parameters(), lr=0.1)
    objective(*pairs(8, 4)).total.backward()
    make_step.step()
    other.load_state_dict(objective.state_dict())
    torch.testing.assert_close(list(other.parameters()), list(objective.parameters()))
    assert next(objective.parameters()).item() != pytest.approx(torch.tensor(0.2).log().item())


def test_weights_follow_their_schedule() -> None:
    objective, z = make(lambda progress: 2 * progress), pairs(8, 4)
    assert [objective(*z, progress=share).weights["bottleneck"] for share in (0.0, 0.5, 1.0)] == [0.0, 1.0, 2.0]
    with pytest.raises(ConfigError, match="a scheduled weight needs progress, the share of training done"):
        objective(*z)
    with pytest.raises(ConfigError, match=r"progress must be a probability in \[0, 1\]; got 1.5"):
        objective(*z, progress=1.5)
    with pytest.raises(ConfigError, match="weight must be a finite number >= 0; got -1"):
        make(lambda progress: -1.0)(*z, progress=0.5)


def test_contradictory_objectives_are_refused() -> None:
    with pytest.raises(ConfigError, match="an objective needs at least one term; got none"):
        Objective({})
    with pytest.raises(ConfigError, match="weight must be a finite number >= 0; got -1"):
        make(-1.0)
    with pytest.raises(ConfigError, match=r"a term's name must be an identifier that modules leave free; got 'a\.b'"):
        Objective({"a.b": WeightedTerm(info_nce)})
    with pytest.raises(ConfigError, match="modules leave free; got 'keys'"):
        Objective({"keys": WeightedTerm(info_nce)})


@pytest.mark.parametrize("name", ["total", "epoch", "rate"])
def test_a_term_cannot_take_the_place_of_a_column_of_the_history(name: str) -> None:
    with pytest.raises(ConfigError, match=f"columns of a history: total, epoch, rate; got '{name}'"):
        Objective({name: WeightedTerm(info_nce)})


def test_ramps_move_between_their_ends() -> None:
    ramp = Ramp(first=1.0, last=3.0, start=0.25, stop=0.75)
    assert [ramp(share) for share in (0.0, 0.25, 0.5, 0.75, 1.0)] == [1.0, 1.0, 2.0, 3.0, 3.0]
    assert make(ramp)(*pairs(8, 4), progress=0.5).weights["bottleneck"] == 2.0
    with pytest.raises(ConfigError, match=r"start must be below stop; got 0\.5 and 0\.5"):
        Ramp(start=0.5, stop=0.5)
    with pytest.raises(ConfigError, match="last must be a finite number >= 0; got -1"):
        Ramp(last=-1.0)


def test_stochastic_representations_are_sampled_in_training_and_meant_in_evaluation() -> None:
    z = [DiagonalGaussian(part, torch.zeros_like(part)) for part in pairs(8, 4)]
    contrast = WeightedTerm(info_nce)
    objective = Objective({"contrast": contrast, "again": contrast, "kl": PosteriorTerm(variational_bottleneck)})
    stream = generator(0)
    samples = [part.sample(generator=stream) for part in z]
    parts = objective(*z, generator=generator(0))
    torch.testing.assert_close(parts.terms["contrast"], info_nce(*samples))
    torch.testing.assert_close(parts.terms["again"], parts.terms["contrast"])
    torch.testing.assert_close(parts.terms["kl"], variational_bottleneck(*z))
    torch.testing.assert_close(objective.eval()(*z).terms["contrast"], info_nce(*(part.mean for part in z)))
    with pytest.raises(ConfigError, match="the term 'kl' compares distributions; got a plain representation of 'text'"):
        objective(z[0], z[1].mean)


def test_modalities_by_name_may_be_missing() -> None:
    image, text = pairs(8, 4)
    z = {"image": image, "text": text, "sound": image + text}
    there = {"sound": torch.arange(8) < 6}
    objective = Objective({"contrast": WeightedTerm(info_nce)}, pairs=one_versus_rest("image"))
    expected = over_pairs(info_nce, z, pairs=one_versus_rest("image"), present=there)
    torch.testing.assert_close(objective(z, present=there).total, expected)
    stochastic = {name: DiagonalGaussian(part, part) for name, part in z.items()}
    kl = Objective({"kl": PosteriorTerm(variational_bottleneck)})(stochastic, present=there)
    torch.testing.assert_close(kl.total, over_pairs(variational_bottleneck, stochastic, present=there))
    for call in (lambda: objective(z, text), lambda: objective(image), lambda: objective(image, text, present=there)):
        with pytest.raises(ConfigError, match="give z_image and z_text, or one mapping of modalities"):
            call()
