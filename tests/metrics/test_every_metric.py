"""What every metric owes its user: one table of metrics by one list of claims."""

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from tests.metrics.common import BOTH, CASES, EACH, NEARLY, NO, Case, views
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

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


class ByAProcessorWithShortProducts(TorchDispatchMode):
    """Round what enters a product of float32 to bfloat16 wherever PyTorch's settings allow a processor to."""

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        allowed = torch.backends.mkldnn.matmul.fp32_precision not in {"ieee", "none"}
        if allowed and operation.overloadpacket in {torch.ops.aten.mm, torch.ops.aten.addmm, torch.ops.aten.bmm}:
            args = [part.bfloat16().float() if is_float32(part) else part for part in args]
        return operation(*args, **(kwargs or {}))


def is_float32(part: Any) -> bool:
    return isinstance(part, Tensor) and part.dtype == torch.float32


@contextmanager
def rounded_products() -> Iterator[None]:
    """`torch.set_float32_matmul_precision("medium")`, on a processor that makes use of it."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        with ByAProcessorWithShortProducts():
            yield
        assert torch.get_float32_matmul_precision() == "medium"  # as it was found
        assert torch.backends.mkldnn.matmul.fp32_precision == "bf16"
    finally:
        torch.set_float32_matmul_precision(before)


@contextmanager
def default_type(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextmanager
def deterministic() -> Iterator[None]:
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


SURROUNDINGS: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "rounded products": rounded_products,
    "default type float64": lambda: default_type(torch.float64),
    "default type bfloat16": lambda: default_type(torch.bfloat16),
    "default device": lambda: torch.device("meta"),
    "inference mode": torch.inference_mode,
    "no gradients": torch.no_grad,
    "deterministic algorithms": deterministic,
}
surrounded = pytest.mark.parametrize("surround", SURROUNDINGS.values(), ids=SURROUNDINGS.keys())


@every
@surrounded
def test_what_surrounds_the_call_changes_nothing(case: Case, surround: Callable[[], Any]) -> None:
    x, y = (side.float() for side in views())
    expected = case.measure(x, y)
    with surround():
        assert case.measure(x, y) == pytest.approx(expected, rel=1e-9)


def test_the_simulated_processor_rounds_products_that_are_not_guarded() -> None:
    x = views()[0].float()
    expected = x @ x.T
    with rounded_products():
        assert not torch.equal(x @ x.T, expected)


@every
@pytest.mark.parametrize(("dtype", "scale"), [(torch.float32, 1e20), (torch.float64, 1e150)])
def test_scale_is_of_no_account_however_large_or_small(case: Case, dtype: torch.dtype, scale: float) -> None:
    x, y = (side.to(dtype) for side in views())
    for of_x, of_y in ((scale, scale), (1 / scale, 1 / scale), (scale, 1 / scale), (1.0, 1 / scale)):
        if case.scale == EACH or (case.scale == BOTH and of_x == of_y):
            assert case.measure(x * of_x, y * of_y) == pytest.approx(case.measure(x, y), rel=1e-5, abs=1e-6)


@every
def test_what_numpy_makes_an_array_of_numbers_of_is_taken(case: Case) -> None:
    x, y = (np.round(side.numpy() * 10) for side in views())
    expected = case.measure(torch.from_numpy(x), torch.from_numpy(y))
    locked = x.copy()
    locked.flags.writeable = False
    forms: dict[str, tuple[Any, Any]] = {
        "whole numbers": (x.astype(int), y.astype(np.int16)),
        "mixed types": (x.astype(np.float32), y),
        "whole and real": (x.astype(np.int64), torch.from_numpy(y)),
        "foreign byte order": (x.astype(">f8"), y.astype(">f4")),
        "reversed views": (x[::-1].copy()[::-1], y[:, ::-1].copy()[:, ::-1]),
        "columns first": (np.asfortranarray(x), y),
        "read-only": (locked, y),
        "lists": (x.tolist(), y.tolist()),
        "frames": (pd.DataFrame(x), pd.DataFrame(y)),
        "with gradients": (torch.from_numpy(x).requires_grad_(), torch.from_numpy(y).requires_grad_()),
    }
    for name, (form_x, form_y) in forms.items():
        if case.takes_arrays:
            assert case.measure(form_x, form_y) == pytest.approx(expected, rel=1e-5), name


@every
def test_what_is_no_array_of_real_numbers_is_refused_by_name(case: Case) -> None:
    x, y = views()
    missing = pd.DataFrame(x.numpy()).astype("Float64")
    missing.iloc[2, 1] = pd.NA
    for wrong, said in (
        (x[:, 0], r"must have shape \(.*\); got \(100,\)|shapes differ: targets \(100,\), predictions"),
        (x[None], r"must have shape \(.*\); got \(1, 100, 5\)|rows must pair one to one"),
        (x[0, 0], r"must have shape \(.*\); got \(\)"),
        (x.to(torch.complex64), "must be a dense array of real numbers; got torch.complex64"),
        (x.numpy().astype(complex), "must hold real numbers; got complex128"),
        (x.to_sparse(), "must be a dense array of real numbers; got torch.sparse_coo"),
        (x.numpy().astype(str), "must hold real numbers; got <U"),
        (x.numpy().astype(object), "must hold real numbers; got object"),
        (missing, "must hold real numbers; got object, a DataFrame"),
        ([[1.0, 2.0], [3.0]], "must be an array of numbers; got a list"),
        (None, "must hold real numbers; got object, a NoneType"),
        ("embeddings.npy", "must hold real numbers; got <U14, a str"),
        (np.ma.masked_greater(x.numpy(), 0.5), "holds masked entries"),
        (x[:, :0], "must have at least one column"),
        (x[:0], r"rows must pair one to one|shapes differ|must have at least 2 rows"),
    ):
        if case.takes_arrays:
            with pytest.raises(ShapeError, match=said) as refused:
                case.measure(wrong, y)
            assert "\n" not in str(refused.value)


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
