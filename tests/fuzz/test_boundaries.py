"""Whatever comes through a boundary, only documented errors leave it.

Every boundary gets the same treatment: files that were whole and have been edited, files that never were, random values
where settings are expected, random arrays where embeddings are. What is allowed to escape is `VergenceError`; of the
command line an exit code. `scripts/fuzz.py` runs this for as long as one likes, with new seeds.
"""

import contextlib
import io
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fuzz.inputs import ARRAYS, FILES, LEXICON, PLAIN, TEXTS, files

from vergence.cli.main import main
from vergence.corpus import audit, estimate_misalignment, load_lexicon
from vergence.corpus.detectors import read_detectors
from vergence.corpus.labels import estimate_from_file
from vergence.corpus.lexicon import Concept, Group, Lexicon
from vergence.corpus.lexicon_files import parse_yaml
from vergence.corpus.readers import ReadOptions
from vergence.errors import VergenceError
from vergence.files import parse_yaml as plain_yaml
from vergence.files import read_json, read_text
from vergence.metrics import cka, mutual_knn, r2_score, retrieve, uniformity
from vergence.metrics.files import pair_rows, read_embeddings
from vergence.probes.labels import read_labels
from vergence.random import generator
from vergence.reports.audit import audit_html
from vergence.training.mapping import check_keys, from_mapping
from vergence.training.pairs import load_pairs
from vergence.training.spec import DataConfig, RunConfig

EXAMPLES = int(os.environ.get("VERGENCE_FUZZ_EXAMPLES", "60"))
SECTIONS = ("seed", "data", "encoder", "objective", "train", "device")
PETS = parse_yaml(LEXICON, where="pets")
thorough = settings(max_examples=EXAMPLES)


@contextlib.contextmanager
def written(suffix: str, content: bytes):
    """A file of its own for one example."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"x{suffix}")
        path.write_bytes(content)
        yield path


@contextlib.contextmanager
def documented():
    """Only errors that a user can put right may escape, and those in one line."""
    said = ""
    try:
        yield
    except VergenceError as error:
        said = str(error)
    assert "\n" not in said, said


@thorough
@given(
    files(".parquet", ".arrow", ".csv", ".tsv", ".jsonl", ".json", ".txt", ".tar"),
    st.sampled_from([(), ("caption",), ("captions",), ("said.raw",), ("txt", "caption"), ("size",)]),
    st.booleans(),
)
def test_a_corpus_is_counted_or_refused(file: tuple[str, bytes], columns: tuple[str, ...], strict: bool) -> None:
    with written(*file) as path, documented():
        coverage = audit([path], PETS, options=ReadOptions(columns=columns, strict=strict))
        json.dumps(coverage.to_dict(), allow_nan=False)
        audit_html(coverage.to_dict())


@thorough
@given(files(".yaml", ".csv"))
def test_a_lexicon_is_read_or_refused(file: tuple[str, bytes]) -> None:
    with written(*file) as path, documented():
        lexicon = load_lexicon(path)
        assert parse_yaml(lexicon.to_yaml(), where="again") == lexicon


@thorough
@given(files(".yaml", ".json"))
def test_documents_are_read_or_refused(file: tuple[str, bytes]) -> None:
    with written(*file) as path:
        with documented():
            read_json(path)
        with documented():
            plain_yaml(read_text(path), where="x")


@thorough
@given(files(".parquet", ".npy", ".safetensors"), files(".parquet", ".npy", ".safetensors"))
def test_embeddings_are_paired_or_refused(one: tuple[str, bytes], other: tuple[str, bytes]) -> None:
    with written(*one) as a, written(*other) as b, documented():
        pair_rows(read_embeddings(a), read_embeddings(b))


@thorough
@given(files(".parquet", ".csv"), st.one_of(st.none(), st.lists(TEXTS, max_size=3)))
def test_labels_are_read_or_refused(file: tuple[str, bytes], factors: list[str] | None) -> None:
    with written(".parquet", FILES[".parquet"][0]) as whole, written(*file) as path, documented():
        read_labels(path, read_embeddings(whole), factors=factors)


@thorough
@given(files(".parquet"), files(".json", ".csv"))
def test_biases_are_estimated_or_refused(file: tuple[str, bytes], rates: tuple[str, bytes]) -> None:
    with written(*file) as path, documented():
        estimate_from_file(path, PETS)
    with written(*rates) as path, documented():
        read_detectors(path, PETS)


@thorough
@given(files(".parquet"), st.sampled_from(FILES[".png"]), st.integers(0, 2**16), st.booleans())
def test_pairs_are_loaded_or_refused(file: tuple[str, bytes], image: bytes, cut: int, whole: bool) -> None:
    with written(*file) as path, documented():
        load_pairs(DataConfig(parquet=str(path), side=8), seed=0)
    damaged = image if whole else image[: cut % len(image)]
    with tempfile.TemporaryDirectory() as folder, documented():
        path = Path(folder, "x.parquet")
        Path(folder, "x.png").write_bytes(damaged)
        pd.DataFrame({"image": ["x.png"] * 4, "caption": ["a dog"] * 4}).to_parquet(path)
        load_pairs(DataConfig(parquet=str(path), side=8, validation=0), seed=0)


@thorough
@given(
    st.one_of(
        PLAIN, st.dictionaries(st.sampled_from(["seed", "data", "encoder", "objective", "train", "device"]), PLAIN)
    )
)
def test_settings_make_a_configuration_or_are_refused(content: Any) -> None:
    with documented():
        check_keys(RunConfig, content)
        from_mapping(RunConfig, content)


@thorough
@given(PLAIN, PLAIN, st.lists(st.one_of(st.none(), TEXTS), max_size=6))
def test_lexicons_made_of_anything_match_or_are_refused(name: Any, forms: Any, captions: list[str | None]) -> None:
    with documented():
        lexicon = Lexicon("x", (Group("g", (Concept(name, forms),)),))
        labels = pd.DataFrame({"g": [lexicon.concepts[0].name] * len(captions)})
        estimate_misalignment(captions, labels, lexicon)


@thorough
@given(ARRAYS, ARRAYS)
def test_measures_take_arrays_or_refuse_them(x: Any, y: Any) -> None:
    for measure in (cka, mutual_knn, r2_score, retrieve):
        with documented():
            measure(x, y)
    with documented():
        uniformity(x)


@thorough
@given(st.one_of(st.integers(), PLAIN))
def test_seeds_make_generators_or_are_refused(seed: Any) -> None:
    with documented():
        generator(seed)


_COMMANDS = "audit lexicon show align probe train study list run demo nothing numeric-selection forecast smoke"
_FLAGS = "--out --seed --labels --lexicon --match --metrics --factors --null --strict --quick --print-config --workers"
_NAMES = "x.parquet x.csv x.yaml x.tar x.npy x.json x.txt . 1"
_WORDS = st.sampled_from(f"{_COMMANDS} {_FLAGS} {_NAMES}".split())


@thorough
@given(st.lists(st.one_of(_WORDS, TEXTS), max_size=6), files(*FILES))
def test_any_command_line_ends_with_a_known_code(arguments: list[str], file: tuple[str, bytes]) -> None:
    runs = {"demo", "run"} & set(arguments) or (arguments[:1] == ["train"] and "--print-config" not in arguments)
    with written(*file) as path, contextlib.chdir(path.parent), _silent() as said:
        try:
            code = main([*arguments, "--help"] if runs else arguments)
        except SystemExit as end:
            code = end.code
    assert code in (0, 1, 2), said.getvalue()
    assert "Traceback" not in said.getvalue()


@contextlib.contextmanager
def _silent():
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        yield said
