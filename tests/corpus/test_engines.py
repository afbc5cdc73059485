"""Audits: the same counts by any engine, in any division, after any interruption."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.corpus.common import tar

from vergence import engines
from vergence.corpus import Coverage, Engine, Lexicon, ReadOptions, audit, concepts_146, merge_audits
from vergence.corpus.lexicon import Concept, Group
from vergence.errors import ConfigError, CorpusError, OutputError

THINGS = [form for concept in concepts_146().concepts for form in concept.forms]


def corpus(folder: Path, *, files: int, rows: int = 300) -> Path:
    draw = random.Random(0)
    folder.mkdir()
    for number in range(files):
        texts = [f"a {draw.choice(THINGS)} and {draw.choice(THINGS)} no {draw.randrange(400)}" for _ in range(rows)]
        pq.write_table(pa.table({"caption": [*texts, None]}), folder / f"{number:02}.parquet")
    return folder


def text(coverage: Coverage) -> str:
    return json.dumps(coverage.to_dict())


def test_threads_and_one_part_at_a_time_agree(tmp_path: Path) -> None:
    folder = corpus(tmp_path / "c", files=7)
    one = audit([folder], concepts_146(), engine=Engine(workers=1))
    assert one.captions == 2100
    assert one.problems.counts == {"null": 7}
    assert text(audit([folder], concepts_146(), engine=Engine(workers=3))) == text(one)


@pytest.mark.slow
def test_processes_agree_with_threads(tmp_path: Path) -> None:
    folder = corpus(tmp_path / "c", files=5)
    processes = audit([folder], concepts_146(), engine=Engine(kind="processes", workers=2))
    assert text(processes) == text(audit([folder], concepts_146()))


def test_seven_shards_merged_equal_the_whole(tmp_path: Path) -> None:
    folder = corpus(tmp_path / "c", files=20)
    shards = [tmp_path / f"shard{number}" for number in range(7)]
    for number, out in enumerate(shards):
        audit([folder], concepts_146(), out=out, shard=(number, 7))
    merged = merge_audits(shards)
    assert text(merged) == text(audit([folder], concepts_146()))
    assert text(merge_audits([*shards, shards[3]])) == text(merged)  # a shard named twice counts once
    with pytest.raises(CorpusError, match="3 of 20 parts are in none of the folders"):
        merge_audits(shards[1:])


def test_a_resumed_audit_reads_only_what_is_missing_or_has_changed(tmp_path: Path) -> None:
    folder = corpus(tmp_path / "c", files=4)

    def run() -> Coverage:
        return audit([folder], concepts_146(), out=tmp_path / "out", engine=Engine(workers=1))

    first = run()
    kept = sorted((tmp_path / "out" / "parts").iterdir())
    times = [file.stat().st_mtime_ns for file in kept]
    kept[0].write_bytes(kept[0].read_bytes()[:100])  # damaged: counted again
    assert text(run()) == text(first)
    assert [file.stat().st_mtime_ns for file in kept][1:] == times[1:]
    pq.write_table(pa.table({"caption": ["a dog"]}), folder / "00.parquet")
    assert run().captions == 901
    changed = (folder / "01.parquet").stat()
    os.utime(folder / "01.parquet", ns=(changed.st_atime_ns, changed.st_mtime_ns + 10**9))
    assert run().captions == 901
    assert merge_audits([tmp_path / "out"]).captions == 901


KILLED = """
import sys, time
from vergence.corpus import Engine, audit, concepts_146

def progress(step):
    print(step.done, flush=True)
    time.sleep(600 if step.done >= int(sys.argv[3]) else 0)

audit([sys.argv[1]], concepts_146(), out=sys.argv[2], engine=Engine(workers=2), progress=progress)
"""


@pytest.mark.slow
def test_killed_at_random_five_times_and_resumed_gives_the_same(tmp_path: Path) -> None:
    folder, out = corpus(tmp_path / "c", files=50), tmp_path / "out"
    draw, reached = random.Random(1), []
    for stop in sorted(draw.sample(range(3, 48), 5)):
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, folder, out, str(stop)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) >= stop:
                break
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        process.stdout.close()
        reached.append(len(list((out / "parts").glob("[!.]*.counts"))))
    assert reached == sorted(reached)
    assert reached[-1] < 50
    resumed = audit([folder], concepts_146(), out=out)
    assert text(resumed) == text(audit([folder], concepts_146()))
    assert text(merge_audits([out])) == text(resumed)


@pytest.mark.slow
def test_a_ray_cluster_that_loses_a_node_gives_the_same(tmp_path: Path) -> None:
    ray = pytest.importorskip("ray", reason="the extra [ray] is not installed")
    from ray.cluster_utils import Cluster

    folder = corpus(tmp_path / "c", files=24)
    node = {"num_cpus": 1, "object_store_memory": 100 * 2**20}
    cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    second = cluster.add_node(**node)
    done: list[int] = []

    def lose(step) -> None:
        done.append(step.done)
        if step.done == 5:
            cluster.remove_node(second)

    try:
        ray.init(address=cluster.address, log_to_driver=False)
        coverage = audit([folder], concepts_146(), engine=Engine(kind="ray"), progress=lose)
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert done == list(range(1, 25))
    assert text(coverage) == text(audit([folder], concepts_146()))


def test_strict_stops_at_what_an_earlier_lenient_run_passed_over(tmp_path: Path) -> None:
    folder = corpus(tmp_path / "c", files=2)
    audit([folder], concepts_146(), out=tmp_path / "out")
    with pytest.raises(CorpusError, match=r"00\.parquet, row 301: captions that are null"):
        audit([folder], concepts_146(), out=tmp_path / "out", options=ReadOptions(strict=True))


def test_other_settings_do_not_reuse_counts_and_do_not_merge(tmp_path: Path) -> None:
    folder = corpus(tmp_path / "c", files=2)
    dog = Lexicon("dog", (Group("animal", (Concept("dog"),)),))
    audit([folder], concepts_146(), out=tmp_path / "a")
    audit([folder], dog, out=tmp_path / "b")
    with pytest.raises(CorpusError, match="audited with different lexicons or options"):
        merge_audits([tmp_path / "a", tmp_path / "b"])
    assert audit([folder], dog, out=tmp_path / "a").table()["concept"].tolist() == ["dog"]
    assert merge_audits([tmp_path / "a"], dog).captions == 600


def test_mistakes_are_named(tmp_path: Path) -> None:
    folder = corpus(tmp_path / "c", files=1)
    with pytest.raises(CorpusError, match=r"unknown column 'TEXT'; known: caption; name the caption column"):
        audit([folder], concepts_146(), options=ReadOptions(columns=("TEXT",)))
    with pytest.raises(ConfigError, match=r"shard_id must be in 0\.\.2; got 3"):
        audit([folder], concepts_146(), shard=(3, 3))
    with pytest.raises(ConfigError, match=r"unknown engine 'thread'; known: threads, processes, ray\. Did you mean"):
        Engine(kind="thread")
    with pytest.raises(CorpusError, match="holds no audit"):
        merge_audits([tmp_path])
    with pytest.raises(CorpusError, match="name at least one folder"):
        merge_audits([])
    with pytest.raises(ConfigError, match="max_caption_bytes must be >= 1; got 0"):
        ReadOptions(max_caption_bytes=0)
    with pytest.raises(ConfigError, match="each caption column must be named once; got a, a"):
        ReadOptions(columns=("a", "a"))


def test_an_audit_that_reads_no_caption_is_an_error_not_a_table_of_zeros(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "a dog"}\n')
    with pytest.raises(CorpusError, match=r"no caption was read.* 1 null.*; the first: .*known: text"):
        audit([tmp_path], concepts_146(), out=tmp_path / "o")
    with pytest.raises(CorpusError, match="no caption was read"):
        merge_audits([tmp_path / "o"])
    (tmp_path / "b.txt").write_text("")
    with pytest.raises(CorpusError, match=r"no caption was read.* 1 empty_file"):
        audit([tmp_path / "b.txt"], concepts_146())


def test_a_shard_without_parts_is_written_and_merges(tmp_path: Path) -> None:
    folder = corpus(tmp_path / "c", files=2)
    shards = [tmp_path / f"s{number}" for number in range(4)]
    captions = [audit([folder], concepts_146(), out=out, shard=(n, 4)).captions for n, out in enumerate(shards)]
    assert captions == [300, 300, 0, 0]
    assert text(merge_audits(shards)) == text(audit([folder], concepts_146()))


def test_what_lies_beside_the_corpus_and_cannot_be_read_counts_once_in_a_merge(tmp_path: Path) -> None:
    folder = corpus(tmp_path / "c", files=3)
    (folder / "notes.md").write_text("")
    (folder / "gone.parquet").symlink_to(tmp_path / "nowhere")
    for number in range(3):
        audit([folder], concepts_146(), out=folder / f"s{number}", shard=(number, 3))
    merged = merge_audits([folder / f"s{number}" for number in range(3)])
    assert merged.problems.counts == {"null": 3, "unreadable": 1}
    assert merged.problems.passed_over[".md"] == 1


def test_fields_of_samples_add_up_over_shards_and_resumption(tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    for number in range(3):
        entries = [(f"{number}.txt", b"a dog"), (f"{number}.url.txt", b"cat"), (f"{number}.jpg", b"")]
        (tmp_path / "c" / f"{number}.tar").write_bytes(tar(entries))
    for number in range(2):
        audit([tmp_path / "c"], concepts_146(), out=tmp_path / f"s{number}", shard=(number, 2))
    whole = audit([tmp_path / "c"], concepts_146(), out=tmp_path / "whole")
    assert whole.to_dict()["fields"] == {"jpg": 3, "txt": 3, "url.txt": 3}
    assert text(audit([tmp_path / "c"], concepts_146(), out=tmp_path / "whole")) == text(whole)
    assert text(merge_audits([tmp_path / "s0", tmp_path / "s1"])) == text(whole)


def test_an_output_folder_inside_of_the_corpus_is_not_audited(tmp_path: Path) -> None:
    folder = corpus(tmp_path / "c", files=2)
    first = audit([folder], concepts_146(), out=folder / "out")
    pq.write_table(pa.table({"caption": ["a dog"]}), folder / "out" / "coverage.parquet")
    again = audit([folder], concepts_146(), out=folder / "out")
    assert text(again) == text(first)
    assert again.problems.passed_over == {"folders of results": 1}
    assert audit([folder / "**/*.parquet"], concepts_146()).captions == 600
    with pytest.raises(CorpusError, match="is the folder of an audit"):
        audit([folder / "out"], concepts_146())


def test_only_an_empty_folder_or_one_of_an_audit_takes_results(tmp_path: Path) -> None:
    folder = corpus(tmp_path / "c", files=1)
    before = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*")}
    for out in (folder, folder / "00.parquet", folder / "00.parquet" / "x", tmp_path):
        with pytest.raises(OutputError, match=str(out)) as caught:
            audit([folder], concepts_146(), out=out)
        assert "\n" not in str(caught.value)
    assert {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*")} == before
    (tmp_path / "empty").mkdir()
    assert audit([folder], concepts_146(), out=tmp_path / "empty").captions == 300


def test_damaged_or_foreign_manifests_and_counts_are_named(tmp_path: Path) -> None:
    folder = corpus(tmp_path / "c", files=1)
    out = tmp_path / "o"
    audit([folder], concepts_146(), out=out)
    manifest = out / "manifest.json"
    whole = manifest.read_text()
    for content, message in (
        ("{", "not valid JSON"),
        ("[]", "another version"),
        (whole.replace('"format": 3', '"format": 1'), "another version"),
        (whole.replace('"parts"', '"part"'), "it lacks 'parts'"),
        (whole.replace('"beside"', '"beyond"'), "it lacks 'beside'"),
        ("[" * 100_000, "nested "),
    ):
        manifest.write_text(content)
        with pytest.raises(CorpusError, match=message):
            merge_audits([out])
    manifest.write_text(whole)
    (part,) = (out / "parts").glob("*.counts")
    part.write_bytes(part.read_bytes()[:-1])
    with pytest.raises(CorpusError, match=r"\.counts: damaged counts; audit that shard again"):
        merge_audits([out])


def test_engines_that_cannot_be_meant_are_refused() -> None:
    with pytest.raises(ConfigError, match="workers must be <= 1024; got 1000000000"):
        Engine(workers=10**9)
    with pytest.raises(ConfigError, match="workers must be >= 0; got -1"):
        Engine(workers=-1)


def test_a_worker_process_that_ends_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_, **__):
        raise BrokenProcessPool("a process ended abruptly")
        yield

    monkeypatch.setattr(engines, "_run_pool", broken)
    with pytest.raises(CorpusError, match="a worker process ended before its part was done"):
        audit([corpus(tmp_path / "c", files=1)], concepts_146(), engine=Engine(kind="processes", workers=1))


@pytest.mark.slow
@pytest.mark.parametrize(
    "address", ["127.0.0.1:{closed}", "127.0.0.1:{silent}", "ray://127.0.0.1:{silent}", "nonsense"]
)
def test_a_ray_cluster_that_does_not_answer_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    pytest.importorskip("ray", reason="the extra [ray] is not installed")
    monkeypatch.setattr(engines, "_PATIENCE", 6)
    folder = corpus(tmp_path / "c", files=1)
    with socket.socket() as silent, socket.socket() as closed:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        closed.bind(("127.0.0.1", 0))
        named = address.format(silent=silent.getsockname()[1], closed=closed.getsockname()[1])
        with pytest.raises(ConfigError, match=f"no Ray cluster answers at '{named}' within 6 s"):
            audit([folder], concepts_146(), engine=Engine(kind="ray", address=named))
