"""What every metric owes its user: one table of metrics by one list of claims."""

import math
from pathlib import Path

import pytest
import torch
from tests.metrics.common import BOTH, CASES, EACH, NEARLY, NO, Case, views
from torch import Tensor

from vergence.errors import ShapeError

every = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
DOCS = Path(__file__).parents[2] / "docs" / "metrics.md"
CHANGES = ("scale", "rotation", "shift")


def changed(z: Tensor, how: str, seed: int) -> Tensor:
    g = torch.Generator().manual_seed(seed)
    if how == "scale":
        return z * float(torch.rand((), generator=g) * 9 + 0.1)
    if how == "rotation":
        return z @ torch.linalg.qr(torch.randn(z.shape[1], z.shape[1], generator=g, dtype=z.dtype))[0]
    return z + 2 * torch.randn(z.shape[1], generator=g, dtype=z.dtype)


@every
@pytest.mark.parametrize("how", CHANGES)
def test_invariance_is_what_the_table_says(case: Case, how: str) -> None:
    x, y = views()
    value, promised = case.measure(x, y), getattr(case, how)
    together = case.measure(changed(x, how, 1), changed(y, how, 1))
    apart = case.measure(changed(x, how, 1), changed(y, how, 2))
    if promised == NEARLY:
        assert together == pytest.approx(value, abs=0.03)
        return
    assert (together == pytest.approx(value, rel=1e-8, abs=1e-10)) == (promised in {BOTH, EACH})
    assert (apart == pytest.approx(value, rel=1e-8, abs=1e-10)) == (promised == EACH)


@every
def test_order_of_the_pairs_does_not_matter(case: Case) -> None:
    x, y = views()
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(1))
    assert (case.measure(x[order], y[order]) == pytest.approx(case.measure(x, y), rel=1e-9)) == case.order


@every
def test_sides_can_be_swapped_where_the_table_says_so(case: Case) -> None:
    x, y = views(noise=2.0)
    assert (case.measure(y, x) == pytest.approx(case.measure(x, y), rel=1e-8)) == case.swap


@every
@pytest.mark.parametrize(("n", "dim"), [(12, 3), (12, 30), (60, 5)])
@pytest.mark.parametrize("noise", [0.0, 1.0, 1e4])
def test_values_stay_in_range(case: Case, n: int, dim: int, noise: float) -> None:
    if case.full_rank and n <= dim:
        with pytest.raises(ShapeError, match="each block of the covariance must be positive definite"):
            case.measure(*views(n, dim, noise=noise))
    else:
        assert case.lowest <= case.measure(*views(n, dim, noise=noise)) <= case.highest


@every
def test_equal_representations_have_the_known_value(case: Case) -> None:
    x, _ = views()
    if case.equal is not None:
        assert case.measure(x, x.clone()) == pytest.approx(case.equal, abs=1e-7)


@every
def test_a_representation_that_does_not_vary_has_the_known_value(case: Case) -> None:
    _, y = views()
    if case.constant is not None:
        assert case.measure(torch.full_like(y, 0.1), y) == pytest.approx(case.constant, abs=1e-12)


@every
def test_constant_features_and_duplicate_rows_give_numbers(case: Case) -> None:
    x, y = views()
    x[:, 0], y[:, 1] = 0.1, 7.0
    x[1::2], y[1::2] = x[::2].clone(), y[::2].clone()
    if case.full_rank:
        with pytest.raises(ShapeError, match="each block of the covariance must be positive definite"):
            case.measure(x, y)
    else:
        assert math.isfinite(case.measure(x, y))


@every
def test_half_precision_and_single_precision_agree_with_double(case: Case) -> None:
    x, y = (side.half() for side in views())
    expected = case.measure(x.double(), y.double())
    for dtype in (torch.float16, torch.float32):
        assert case.measure(x.to(dtype), y.to(dtype)) == pytest.approx(expected, rel=2e-2, abs=1e-4)


@every
def test_rows_that_do_not_pair_are_refused(case: Case) -> None:
    x, y = views()
    if not case.one_sided and not case.full_rank:
        with pytest.raises(ShapeError, match=r"rows must pair one to one|shapes differ"):
            case.measure(x, y[:-1])


@every
def test_nan_is_refused_by_name(case: Case) -> None:
    x, y = views()
    x[3, 1] = math.nan
    if case not in (CASES["matthews_corrcoef"], CASES["factor_information"]):  # they take integers
        with pytest.raises(ShapeError, match=r"holds \d+ entries that are NaN or infinite"):
            case.measure(x, y)


def row(name: str, case: Case) -> str:
    """The line of the table in the documents that says what the registry says."""
    bounds = [str(bound).replace("inf", "∞") for bound in (case.lowest, case.highest)]
    opened = "(" if math.isinf(case.lowest) else "["
    closed = ")" if math.isinf(case.highest) else "]"
    kept = [f"{how} ({getattr(case, how)})" for how in CHANGES if getattr(case, how) != NO]
    kept = ["order"] * case.order + kept + ["swap"] * case.swap
    cells = [f"`{name}`", f"{opened}{bounds[0]}, {bounds[1]}{closed}", case.better, ", ".join(kept)]
    return f"| {' | '.join([*cells, case.cost, case.source])} |"


def test_the_documented_table_is_the_registry() -> None:
    lines = [line for line in DOCS.read_text().splitlines() if line.startswith("| `")]
    registered = [row(name, case) for name, case in CASES.items()]
    assert lines[: len(registered)] == registered
