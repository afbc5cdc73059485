"""Learned scalars."""

import pytest
import torch
from tests.losses.common import pairs

from vergence.errors import ConfigError
from vergence.losses import LearnedTemperature, info_nce


@pytest.mark.parametrize("rate", [1e2, 1e6, 1e30])
@pytest.mark.parametrize("sign", [1, -1])
def test_stays_in_its_bounds_under_a_hostile_rate(rate: float, sign: int) -> None:
    temperature = LearnedTemperature(0.07, minimum=0.02, maximum=5.0)
    optimizer = torch.optim.SGD(temperature.parameters(), lr=rate)
    z = pairs(16, 4, noise=0.5, dtype=torch.float32)
    for _ in range(5):
        optimizer.zero_grad()
        loss = sign * info_nce(*z, temperature=temperature())
        loss.backward()
        optimizer.step()
        assert loss.isfinite()
        assert 0.02 * (1 - 1e-6) <= temperature().item() <= 5.0 * (1 + 1e-6)


def test_comes_back_from_a_bound_at_the_next_step() -> None:
    temperature = LearnedTemperature(1.0, minimum=0.01, maximum=10.0)
    with torch.no_grad():
        temperature.log_temperature.fill_(1e9)
    temperature().backward()
    with torch.no_grad():
        temperature.log_temperature -= 0.1 * temperature.log_temperature.grad
    assert temperature().item() < 9.0


def test_evaluation_does_not_write_to_the_parameter() -> None:
    temperature = LearnedTemperature(1.0).eval()
    with torch.no_grad():
        temperature.log_temperature.fill_(1e9)
    assert temperature().item() == pytest.approx(10.0)
    assert temperature.log_temperature.item() == 1e9


@pytest.mark.parametrize("settings", [{"minimum": 2.0, "maximum": 1.0}, {"minimum": 0.5, "maximum": 1.0}])
def test_bounds_must_be_ordered_and_hold_the_start(settings) -> None:
    with pytest.raises(ConfigError, match="temperature must satisfy minimum <= initial <= maximum; got"):
        LearnedTemperature(0.07, **settings)
    with pytest.raises(ConfigError, match="minimum must be a finite number > 0"):
        LearnedTemperature(0.07, minimum=0.0)
