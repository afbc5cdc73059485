"""What comes with the labels: a lexicon that knows every value, and errors that are those of the benchmark."""

import json
from pathlib import Path

import pytest
from benchmarks.pixel_labels import SHIPPED, shipped_errors

from vergence.corpus import load_lexicon
from vergence.corpus.detectors import read_detectors
from vergence.data.labelling import pixel_errors, pixel_lexicon
from vergence.data.pixels import PIXEL_FACTORS
from vergence.errors import FactorError
from vergence.files import write_text, yaml_text


def test_the_lexicon_knows_every_value_of_every_factor(tmp_path: Path) -> None:
    write_text(tmp_path / "lexicon.yaml", yaml_text(pixel_lexicon()))
    groups = load_lexicon(tmp_path / "lexicon.yaml").groups
    assert {group.name: tuple(concept.name for concept in group.concepts) for group in groups} == dict(PIXEL_FACTORS)
    assert [group["name"] for group in pixel_lexicon(["aspect"])["groups"]] == ["aspect"]
    with pytest.raises(FactorError, match="pixels state no 'shape'; they state: color, lightness"):
        pixel_lexicon(["shape"])


def test_the_errors_are_read_as_those_of_a_detector(tmp_path: Path) -> None:
    write_text(tmp_path / "lexicon.yaml", yaml_text(pixel_lexicon()))
    (tmp_path / "errors.json").write_text(json.dumps(pixel_errors()))
    read = read_detectors(tmp_path / "errors.json", load_lexicon(tmp_path / "lexicon.yaml"))
    assert set(read) == {"color", "lightness", "chroma"}
    for detector in read.values():
        assert (detector.confusion.diagonal() > 0.5).all()


def test_the_errors_are_those_that_the_benchmark_measured() -> None:
    results = Path(__file__).parents[2] / "benchmarks" / "results" / "pixel_labels.json"
    assert json.loads(SHIPPED.read_text()) == shipped_errors(json.loads(results.read_text()))
