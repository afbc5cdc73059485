"""Confusion rates of detectors: what a file may hold, and what is refused by its line."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from vergence.corpus import Concept, Group, Lexicon
from vergence.corpus.detectors import read_detectors, written
from vergence.corpus.errata import Stratum
from vergence.errors import ConfigError, CorpusError, FactorError

LEXICON = Lexicon("x", (Group("tone", (Concept("a"), Concept("b"))),))
HEADER = "factor,value,label,rate\n"


def read(folder: Path, text: str, kind: str = "csv") -> np.ndarray:
    path = folder / f"errors.{kind}"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_detectors(path, LEXICON)["tone"].confusion


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (HEADER + "tone,a,a,0.9\ntone,a,b,0.1\ntone,b,b,1\n", "csv"),
        ("\ufeff" + HEADER + "tone,a,a,0.9\r\n\r\ntone,a,b,0.1\r\ntone,b,b,1\r\n", "csv"),
        ("rate,factor,label,value\n.9,tone,a,a\n.1,tone,b,a\n1,tone,b,b\n", "csv"),
        ('\ufeff{"tone": {"a": {"a": 0.9, "b": 0.1}, "b": {"b": 1}}}', "JSON"),
    ],
)
def test_rates_are_read_in_either_form(tmp_path: Path, text: str, kind: str) -> None:
    np.testing.assert_allclose(read(tmp_path, text, kind), [[0.9, 0.1], [0, 1]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("factor,value,label,ratio\ntone,a,a,1\n", "the header must be factor,value,label,rate; got 'factor,value"),
        ("factor,value,label,rate,note\ntone,a,a,1,x\n", "the header must be"),
        ("factor,value,label,rate,rate\ntone,a,a,1,1\n", "the header must be"),
        ("tone,a,a,1\n", "the header must be"),
        ("", "the header must be"),
        (HEADER, "holds no rates"),
        (HEADER + "tone,a,a\n", "csv:2: a row needs 4 fields; got 3"),
        (HEADER + "tone,a,a,1,9\n", "csv:2: a row needs 4 fields; got 5"),
        (HEADER + "tone,a,a,1\ntone,a,a,1\n", "csv:3: the rate of 'a' labelled 'a' of factor 'tone' is given twice"),
        (HEADER + "tone,a,a,nan\n", r"csv:2: the rate of 'a' labelled 'a' must be in \[0, 1\]; got nan"),
        (HEADER + "tone,a,a,inf\n", "got inf"),
        (HEADER + "tone,a,a,-0.1\n", "got -0.1"),
        (HEADER + "tone,a,a,90%\n", "csv:2: the rate is no number: '90%'"),
        (HEADER + 'tone,a,a,"1\n', "not valid CSV"),
        (b"factor\0", "NUL"),
    ],
)  # fmt: skip
def test_csv_of_another_form_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        read(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "the file cannot be read as confusion rates; got list"),
        ("{}", "the file holds no rates"),
        ('{"tone": {}}', "factor 'tone' holds no rates"),
        ('{"tone": {"a": 1}}', "value 'a' of factor 'tone' cannot be read as confusion rates; got int"),
        ('{"tone": {"a": {"a": "1"}}}', "the rate of 'a' labelled 'a' is no number: '1'"),
        ('{"tone": {"a": {"a": true}}}', "is no number: True"),
        ('{"tone": {"a": {"a": null}}}', "is no number: None"),
        ('{"tone": {"a": {"a": 1}, "a": {"b": 1}}}', "'a'"),
        ('{"tone": {"a": {"a": NaN}}}', "NaN"),
        ("{", "JSON"),
    ],
)
def test_json_of_another_form_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        read(tmp_path, text, "json")


def test_what_the_lexicon_does_not_know_is_refused_by_its_line(tmp_path: Path) -> None:
    with pytest.raises(FactorError, match="csv:2: unknown factor 'tome'; known: tone"):
        read(tmp_path, HEADER + "tome,a,a,1\n")
    with pytest.raises(FactorError, match="csv:2: unknown value of factor 'tone' 'c'; known: a, b"):
        read(tmp_path, HEADER + "tone,a,c,1\n")


def test_rates_that_do_not_add_up_are_named_by_their_value(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"probabilities that sum to 1; that of value 'b' has the sum 0$"):
        read(tmp_path, HEADER + "tone,a,a,1\n")
    with pytest.raises(ConfigError, match=r"that of value 'a' has the sum 1.1"):
        read(tmp_path, HEADER + "tone,a,a,1\ntone,a,b,0.1\ntone,b,b,1\n")


SAMPLED = {"tone": [{"label": "a", "images": 60, "answers": {"a": 9, "b": 1}}, {"label": "b", "images": 40,
           "answers": {"b": 10}}]}  # fmt: skip
RATES = {"tone": {"a": {"a": 1.0}, "b": {"a": 6 / 46, "b": 40 / 46}}}


def test_rates_come_with_the_answers_that_they_were_estimated_from(tmp_path: Path) -> None:
    path = tmp_path / "errors.json"
    path.write_text(json.dumps({**RATES, "(sampled)": SAMPLED}))
    found = read_detectors(path, LEXICON)["tone"]
    assert found.errors is not None
    strata = [Stratum(**record) for record in SAMPLED["tone"]]
    assert written({"tone": found}, {"tone": strata}) == json.loads(path.read_text())
    path.write_text(json.dumps(RATES))
    assert read_detectors(path, LEXICON)["tone"].errors is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tone": {"a": {"a": 1}, "b": {"b": 1}}}, "are not those of its (sampled) answers; remove these"),
        ({"(sampled)": {"tone": [{"label": "a"}]}}, "(sampled) of factor 'tone' must be"),
        ({"(sampled)": {"tone": [{"label": "a", "images": 9, "answers": {"a": 1.5}}]}}, "must be"),
        ({"(sampled)": {"tone": [{"label": "a", "images": 9, "answers": {"a": 10}}]}}, "at most 9 together"),
        ({"(sampled)": {"tone": [{"label": "a", "images": 9, "answers": {"c": 1}}]}}, "unknown value 'c'"),
        ({"(sampled)": {"tone": [{"label": "a", "images": 9, "answers": {}}]}}, "nothing is answered about the 9"),
        ({"(sampled)": {"tome": SAMPLED["tone"]}}, "the rates of factor 'tome' are not those"),
        ({"(sampled)": 3}, "(sampled) cannot be read as confusion rates"),
    ],
)
def test_answers_of_another_form_are_refused(tmp_path: Path, change: dict, message: str) -> None:
    path = tmp_path / "errors.json"
    path.write_text(json.dumps({**RATES, "(sampled)": SAMPLED, **change}))
    with pytest.raises((ConfigError, CorpusError), match=re.escape(message)):
        read_detectors(path, LEXICON)
