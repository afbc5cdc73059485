"""`vergence probe` on files."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from vergence.cli.main import main


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    """Embeddings that hold tone and depth but not noise, and their labels in another order."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(400, 8))
    labels = pd.DataFrame(
        {
            "key": [f"item {row}" for row in range(400)],
            "tone": np.where(z[:, 0] > 0, "dark", "light"),
            "depth": z[:, 1] + 0.1 * rng.normal(size=400),
            "noise": rng.choice(["a", "b"], 400),
            "image": np.arange(400) // 2,
        }
    )
    labels.loc[::7, "tone"] = None
    np.save(tmp_path / "z.npy", z)
    labels[["key"]].to_parquet(tmp_path / "z.parquet")
    labels.sample(frac=1, random_state=1).to_parquet(tmp_path / "labels.parquet")
    return str(tmp_path / "z.npy"), str(tmp_path / "labels.parquet")


def test_what_is_in_the_embeddings_is_found_and_what_is_not_is_not(files: tuple[str, str], tmp_path: Path) -> None:
    out = tmp_path / "probe.json"
    assert main(["probe", *files, "--cluster-column", "image", "--out", str(out)]) == 0
    found = {row["factor"]: row for row in json.loads(out.read_text())["factors"]}
    assert list(found) == ["tone", "depth", "noise"]
    assert found["tone"]["metric"] == "matthews_corrcoef"
    assert found["tone"]["score"] > 0.8
    assert found["depth"]["metric"] == "r2_score"
    assert found["depth"]["score"] > 0.9
    assert found["noise"]["low"] < 0.05
    assert found["tone"]["n_test"] < found["depth"]["n_test"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--factors", "tones"], "unknown column 'tones'; known: key, tone, depth, noise, image. Did you mean 'tone'?"),
        (["--cluster-column", "img"], "unknown column 'img'"),
        (["--test-fraction", "1.5"], "--test-fraction must be a probability in [0, 1]; got 1.5"),
    ],
)
def test_mistakes_are_one_line(
    files: tuple[str, str], capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert main(["probe", *files, *arguments]) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.err.count("\n") == 1


def test_damaged_missing_and_unmatched_labels_are_named(
    files: tuple[str, str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    z, labels = files
    half = tmp_path / "half.parquet"
    half.write_bytes(Path(labels).read_bytes()[:500])
    fewer = tmp_path / "fewer.parquet"
    pd.read_parquet(labels).iloc[:300].to_parquet(fewer)
    for file, said in ((half, "truncated or damaged"), (tmp_path / "no.parquet", "missing"), (fewer, "each item of")):
        assert main(["probe", z, str(file)]) == 2
        assert said in capsys.readouterr().err
