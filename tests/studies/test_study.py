"""The one framework of studies: predictions first, runs by digest, one table, claims, a page."""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pandas as pd
import pytest
from matplotlib.figure import Figure

from vergence.errors import ConfigError, CorpusError
from vergence.studies import run as runner
from vergence.studies.progress import StudyProgress
from vergence.studies.run import run_study
from vergence.studies.study import Claim, Drawing, Finished, Result, Row, Study, bound


@dataclass(frozen=True)
class Toy:
    seed: int
    size: int
    scale: str = "smoke"


class ToyStudy(Study[Toy]):
    description = "a score that is its size's <half>"
    family = "toy"
    details = ("role",)
    foretold = ("statement",)
    margin = 0.01

    def __init__(self, name: str = "toy", sizes: tuple[int, ...] = (1, 2), *, protocol: int = 1) -> None:
        self.name, self.sizes, self.protocol = name, sizes, protocol

    def seeds(self, scale: str) -> int:
        return 1

    def job(self, scale: str) -> Mapping[str, Any]:
        return {"job": "study", "study": self.name, "scale": scale}

    def runs(self, scale: str, seeds: int) -> list[Toy]:
        return [Toy(seed, size, scale) for seed in range(seeds) for size in self.sizes]

    def key(self, spec: Toy) -> Mapping[str, Any]:
        return asdict(spec)

    def label(self, spec: Toy) -> str:
        return f"size-{spec.size}_seed-{spec.seed}"

    def settings(self, spec: Toy) -> Row:
        return {"seed": spec.seed, "size": spec.size}

    def predict(self, spec: Toy) -> list[Row]:
        expected = spec.size / 2
        said = {"predicted_low": expected, "predicted_high": expected, "expected": expected, "reason": "it is so"}
        return [{"side": "image", "factor": "hue", **said, "statement": "learned"}]

    def groups(self, specs: Sequence[Toy]) -> list[list[Toy]]:
        return [list(specs)]

    def measure(self, group: Sequence[Toy], *, folders: Sequence[Path], tell: Any) -> list[Result]:
        results = []
        for spec, folder in zip(group, folders, strict=True):
            assert (folder.parents[1] / "predictions.json").exists(), "predictions come first"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "weights.bin").write_bytes(b"w" * spec.size)
            rows = [
                {"side": "image", "factor": "hue", "metric": "r2", "role": "named", "value": spec.size / 2},
                {"side": "text", "factor": "hue", "metric": "r2", "role": "named", "value": float("nan")},
            ]
            results.append(Result(rows, {"stamp": uuid4().hex}))
        return results

    def finish(self, table: pd.DataFrame, runs: Sequence[Finished[Toy]]) -> pd.DataFrame:
        return table.assign(floor=0.1)

    def claims(self, table: pd.DataFrame) -> list[Claim]:
        values = table.loc[table["side"] == "image", "value"]
        return [
            Claim(statement="the smallest", measured=values.min(), at_least=0.5),
            Claim(statement="the largest", measured=values.max(), at_most=0.9, where="size 2"),
            Claim(statement="number of values", measured=float(len(values))),
        ]

    def figures(self, table: pd.DataFrame) -> dict[str, Drawing]:
        return {"halves": Drawing("halves of <sizes>", Figure(), Figure())}


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Starting processes is tested with the pool."""

    def run_here(work: Any, runs: Mapping[str, Any], **others: Any) -> Iterator[tuple[str, Any]]:
        for name, run in runs.items():
            yield name, work(run, lambda done, total: None)

    monkeypatch.setattr(runner, "run_in_pool", run_here)


def run(study: ToyStudy, out: Path, *, present: Any = "refuse", **asked: Any) -> Row:
    with StudyProgress("test") as progress:
        options = {"scale": "smoke", "command": "vergence study run toy", **asked}
        return run_study(study, out=out, present=present, progress=progress, **options)


def stamps(out: Path) -> set[str]:
    return {json.loads(path.read_text())["extras"]["stamp"] for path in out.glob("runs/*/run.json")}


def test_a_study_leaves_predictions_runs_table_verdict_figures_and_page(tmp_path: Path) -> None:
    verdict = run(ToyStudy(), tmp_path / "toy")
    assert {path.name for path in (tmp_path / "toy").iterdir()} == {
        *(".vergence", "job.json", "predictions.json", "runs", "table.parquet", "verdict.json", "figures", "page.html")
    }
    said = json.loads((tmp_path / "toy/predictions.json").read_text())["runs"]
    assert [one["predictions"][0]["expected"] for one in said] == [0.5, 1.0]

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    written = json.loads((tmp_path / "toy/verdict.json").read_text(), parse_constant=refuse)
    assert written == verdict
    assert written["counts"] == {"holds": 1, "fails": 1}
    assert [claim["outcome"] for claim in written["claims"]] == ["holds", "fails", None]
    assert written["outcomes"]["as predicted"] == 2
    assert written["outcomes"]["not measured"] == 2
    assert written["seeds"] == [0]
    assert {"command", "versions", "date", "seconds", "cpu_seconds"} <= set(written)
    table = pd.read_parquet(tmp_path / "toy/table.parquet")
    assert list(table) == [
        *("run", "seed", "size", "side", "factor", "metric", "role", "value", "low", "high", "predicted_low"),
        *("predicted_high", "expected", "reason", "statement", "floor", "ceiling", "outcome"),
    ]
    assert table["floor"].eq(0.1).all()
    assert table["reason"].to_list() == ["it is so", "nothing was predicted of it"] * 2


def test_the_page_leads_with_the_claims_and_escapes_what_it_shows(tmp_path: Path) -> None:
    run(ToyStudy(), tmp_path / "toy")
    page = (tmp_path / "toy/page.html").read_text()
    assert "<half>" not in page
    assert "&lt;half&gt;" in page
    assert "halves of &lt;sizes&gt;" in page
    assert "Content-Security-Policy" in page
    assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org", "")
    assert page.index("✗ fails") < page.index("✓ holds") < page.index("no bound stated") < page.index("<figure")
    assert "1 of 2 claims hold" in page


def test_runs_of_one_family_are_taken_over_from_a_folder_beside_it(tmp_path: Path) -> None:
    run(ToyStudy(), tmp_path / "first")
    verdict = run(ToyStudy("other", (2, 3)), tmp_path / "second")
    assert verdict["taken_over"] == {"first": 1}
    assert len(stamps(tmp_path / "first") & stamps(tmp_path / "second")) == 1
    assert len(list((tmp_path / "second").glob("runs/*/weights.bin"))) == 2
    shutil.rmtree(tmp_path / "first")  # the second has all that it needs
    before = stamps(tmp_path / "second")
    run(ToyStudy("other", (2, 3)), tmp_path / "second", present="resume")
    assert stamps(tmp_path / "second") == before


@pytest.mark.parametrize(
    ("study", "asked"),
    [(ToyStudy("other", protocol=2), {}), (ToyStudy("other"), {"scale": "cpu"})],
)
def test_runs_that_were_measured_otherwise_are_not_taken_over(study: ToyStudy, asked: Row, tmp_path: Path) -> None:
    run(ToyStudy(), tmp_path / "first")
    assert run(study, tmp_path / "second", **asked)["taken_over"] == {}
    assert not stamps(tmp_path / "first") & stamps(tmp_path / "second")


def test_another_version_of_the_library_does_not_share_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(ToyStudy(), tmp_path / "first")
    monkeypatch.setattr("vergence.__version__", "99.0")
    assert run(ToyStudy("other"), tmp_path / "second")["taken_over"] == {}


def edited(path: Path) -> None:
    path.write_text(path.read_text().replace('"value": 0.5', '"value": 0.9').replace('"value": 1.0', '"value": 0.9'))


@pytest.mark.parametrize(
    "damage",
    [
        lambda home: [edited(path) for path in home.glob("runs/*/run.json")],
        lambda home: [path.write_text("[]") for path in home.glob("runs/*/run.json")],
        lambda home: [path.write_bytes(b"x") for path in home.glob("runs/*/weights.bin")],
        lambda home: [path.unlink() for path in home.glob("runs/*/weights.bin")],
        lambda home: (home / ".vergence").unlink(),
    ],
)
def test_what_is_damaged_or_not_ours_is_not_taken_over(damage: Any, tmp_path: Path) -> None:
    run(ToyStudy(), tmp_path / "first")
    damage(tmp_path / "first")
    assert run(ToyStudy("other"), tmp_path / "second")["taken_over"] == {}
    assert run(ToyStudy("other"), tmp_path / "second", present="resume")["outcomes"]["as predicted"] == 2


def test_a_run_under_another_runs_name_is_not_taken_over(tmp_path: Path) -> None:
    run(ToyStudy(), tmp_path / "first")
    one, two = (path.parent for path in sorted(tmp_path.glob("first/runs/*/run.json")))
    held = one.rename(tmp_path / "held")
    two.rename(one)
    held.rename(two)
    assert run(ToyStudy("other"), tmp_path / "second")["taken_over"] == {}


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda run: edited(run / "run.json"), "run.json is damaged: it is not what was written. Remove that file and"),
        (lambda run: (run / "weights.bin").unlink(), "weights.bin is missing or damaged.*Remove .*run.json and resume"),
    ],
)
def test_a_damaged_run_of_its_own_is_said_with_the_remedy(damage: Any, message: str, tmp_path: Path) -> None:
    run(ToyStudy(), tmp_path / "toy")
    home = next(tmp_path.glob("toy/runs/*/run.json")).parent
    damage(home)
    with pytest.raises(CorpusError, match=message):
        run(ToyStudy(), tmp_path / "toy", present="resume")
    shutil.rmtree(home)
    assert run(ToyStudy(), tmp_path / "toy", present="resume")["outcomes"]["as predicted"] == 2


def test_only_what_is_missing_is_run_again_and_more_seeds_extend_a_job(tmp_path: Path) -> None:
    run(ToyStudy(), tmp_path / "toy")
    before = stamps(tmp_path / "toy")
    verdict = run(ToyStudy(), tmp_path / "toy", present="resume", seeds=2)
    assert verdict["seeds"] == [0, 1]
    assert before < stamps(tmp_path / "toy")
    assert len(stamps(tmp_path / "toy")) == 4


def test_checkpoints_are_gone_once_a_run_is_done(tmp_path: Path) -> None:
    class Stopped(ToyStudy):
        def measure(self, group: Sequence[Toy], *, folders: Sequence[Path], tell: Any) -> list[Result]:
            results = super().measure(group, folders=folders, tell=tell)
            for folder in folders:
                runner.JobFolder(folder).write_text("checkpoints/epoch-1", "half")
            return results

    run(Stopped(), tmp_path / "toy")
    assert not list(tmp_path.glob("toy/runs/*/checkpoints"))
    run(Stopped("other"), tmp_path / "second")
    assert not list(tmp_path.glob("second/runs/*/checkpoints"))


def test_a_folder_of_an_earlier_form_is_refused_with_a_way_on(tmp_path: Path) -> None:
    run(ToyStudy(), tmp_path / "toy")
    job = json.loads((tmp_path / "toy/job.json").read_text())
    (tmp_path / "toy/job.json").write_text(json.dumps({key: job[key] for key in job if key != "form"}))
    for present in ("refuse", "resume"):
        with pytest.raises(ConfigError, match=r"of another form, by an earlier version.*--overwrite to replace them"):
            run(ToyStudy(), tmp_path / "toy", present=present)
    run(ToyStudy(), tmp_path / "toy", present="overwrite")
    assert json.loads((tmp_path / "toy/job.json").read_text()) == job


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"scale": "huge"}, "unknown scale 'huge'; known: smoke, cpu"),
        ({"seeds": 0}, "seeds must be >= 1; got 0"),
        ({"workers": 0}, "workers must be >= 1; got 0"),
    ],
)
def test_impossible_wishes_are_refused_before_anything_is_written(asked: Row, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        run(ToyStudy(), tmp_path / "toy", **asked)
    assert not (tmp_path / "toy").exists()


def test_a_claim_without_a_bound_never_holds_and_one_without_a_number_fails() -> None:
    assert Claim(statement="x", measured=1.0).outcome is None
    assert Claim(statement="x", measured=float("nan"), at_least=0.0).outcome == "fails"
    assert Claim(statement="x", measured=None, at_most=1.0).record()["measured"] is None
    assert Claim(statement="x", measured=0.5, at_least=0.5, at_most=0.5).outcome == "holds"
    assert Claim(statement="x", measured=0.5, at_least=0.4, at_most=0.45).outcome == "fails"
    assert bound({"at_least": 0.1, "at_most": 0.2}) == "≥ 0.1 and ≤ 0.2"
