"""What docs/metrics.md states of the spectrum is what the result files hold."""

import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"


def values(name: str) -> dict[str, Any]:
    cases = json.loads((RESULTS / f"{name}.json").read_text())["cases"]
    return {case["name"]: case["ours"]["value"] for case in cases}


def test_encoding_sizes_read_from_trained_encoders_are_right_in_four_of_five_cases() -> None:
    by_name = values("encoding_size")
    (trained,) = (value for name, value in by_name.items() if name.startswith("encoders trained"))
    found = trained["found"]
    assert len({(one["selected"], one["perturbed"]) for one in found}) == 24
    shared = [one["shared"] == one["selected"] for one in found]
    exact = [one["exact"] == one["selected"] - one["perturbed"] for one in found]
    assert (sum(shared), sum(exact)) == (trained["shared right"], trained["exact right"])
    assert sum(a and b for a, b in zip(shared, exact, strict=True)) == trained["both right"] >= 0.8 * 24
    for name, value in by_name.items():
        if ", linear mixing" in name:
            assert value["both right"] >= 69, name


def test_intervals_cover_but_for_the_weakest_direction_of_few_pairs_and_captions_taken_for_images() -> None:
    by_name = values("spectrum_statistics")
    coverages = {name: value["coverage"] for name, value in by_name.items() if "coverage" in name}
    assert len(coverages) == 8
    for name, shares in coverages.items():
        if "taken for 1,000 draws" in name:
            assert min(shares) < 0.92, "clusters would not be needed"
        else:
            assert min(shares[:2] if "60 Gaussian" in name else shares) >= 0.92, name
    exceeded = [value for name, value in by_name.items() if "above chance" in name]
    assert len(exceeded) == 4
    assert max(exceeded) <= 0.03  # 0.01 expected


def test_two_large_files_take_less_than_two_gigabytes() -> None:
    (at_size,) = (
        case["ours"]
        for case in json.loads((RESULTS / "spectrum.json").read_text())["cases"]
        if "1,000,000 x 512" in case["name"]
    )
    assert at_size["peak_mb"] <= 2000
    assert at_size["value"]["above chance"] >= 60  # of 64 strengths from 0.99 to 0.05
