"""Named, weighted terms."""

import pytest
import torch
from tests.losses.common import pairs

from vergence.errors import ConfigError
from vergence.losses import LearnedTemperature, Objective, WeightedTerm, alignment_penalty, info_nce


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
