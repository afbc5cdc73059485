"""Corpora for tests, and what is read of them."""

import gzip
import io
import tarfile
from pathlib import Path

import pyarrow as pa

from vergence.corpus.readers import ReadOptions, read_captions
from vergence.sources.discovery import plan
from vergence.sources.problems import Problems


def read(*paths: Path, **options) -> tuple[list[str], Problems]:
    problems = Problems(strict=options.pop("strict", False))
    texts = []
    for part in plan(paths, problems):
        for captions in read_captions(part, ReadOptions(**options), problems):
            texts += [
                caption.as_py() if isinstance(caption.as_py(), str) else caption.as_py().decode()
                for caption in captions
            ]
    return texts, problems


def compress(data: bytes, path: Path) -> Path:
    if path.suffix in (".gz", ".tgz"):
        path.write_bytes(gzip.compress(data))
    elif path.suffix == ".zst":
        path.write_bytes(pa.compress(data, codec="zstd", asbytes=True))
        with pa.output_stream(str(path), compression="zstd") as stream:
            stream.write(data)
    else:
        path.write_bytes(data)
    return path


def tar(entries: list[tuple[str, bytes]], **options) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", **options) as archive:
        for name, content in entries:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()
