"""Captions of the images of a source, a line of JSON each: written in parts, so that a job that was killed goes on."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from vergence.checks import at_least, non_negative, one_of, positive
from vergence.data.pictures import read_pictures
from vergence.data.rows import Columns
from vergence.encoders.generation import beam, greedy, nucleus
from vergence.errors import ConfigError, CorpusError
from vergence.files import JOURNAL, read_json, whole, write_json
from vergence.folders import JobFolder, WhenPresent
from vergence.random import check_seed, named
from vergence.training.captioner import Decoder
from vergence.training.captioner_files import load_captioner
from vergence.training.image_tokens import remembered_tokens
from vergence.training.models import weights_digest

DECODERS = ("greedy", "beam", "nucleus")
_NAMED = 20  # rows left out that are named


@dataclass(frozen=True, kw_only=True)
class DecoderConfig:
    """How captions are decoded.

    Args:
        kind: "greedy", "beam" or "nucleus".
        width: Of "beam", how many beginnings are kept, >= 1.
        length_penalty: Of "beam", the power of the length that scores are divided by, >= 0.
        p: Of "nucleus", the share of the probability that words are drawn from, in (0, 1].
        temperature: Of "nucleus", what logits are divided by, > 0.
        seed: Of "nucleus", of the draws.
        max_length: Words of a caption at most, >= 1; what the model has places for if `None`.

    Raises:
        ConfigError: Naming the setting, what it got and what is allowed.
    """

    kind: str = "greedy"
    width: int = 5
    length_penalty: float = 1.0
    p: float = 0.9
    temperature: float = 1.0
    seed: int = 0
    max_length: int | None = None

    def __post_init__(self) -> None:
        one_of("decoder", self.kind, DECODERS)
        at_least("width", self.width, 1)
        non_negative("length_penalty", self.length_penalty)
        positive("temperature", self.temperature)
        if not 0 < self.p <= 1:
            raise ConfigError(f"p must be a share in (0, 1]; got {self.p!r}")
        check_seed(self.seed)

    def make(self, *names: object) -> Decoder:
        """The decoder of a named part of a job: draws of one part do not depend on the others."""
        if self.kind == "greedy":
            return partial(greedy, max_length=self.max_length)
        if self.kind == "beam":
            return partial(beam, width=self.width, length_penalty=self.length_penalty, max_length=self.max_length)
        stream = named(self.seed, "captions", *names)
        return partial(nucleus, p=self.p, temperature=self.temperature, generator=stream, max_length=self.max_length)

    def settings(self) -> dict[str, Any]:
        """What of it counts, by name."""
        used = {"beam": ("width", "length_penalty"), "nucleus": ("p", "temperature", "seed")}.get(self.kind, ())
        return {name: value for name, value in asdict(self).items() if name in ("kind", "max_length", *used)}


@dataclass(frozen=True)
class Captioned:
    """What was captioned.

    Args:
        images: How many images have a caption.
        left_out: Why others have none, by their keys.
        notes: What of the source was passed over, a line each.
        done_before: How many of the images were captioned by an earlier run.
    """

    images: int
    left_out: Mapping[str, str]
    notes: tuple[str, ...]
    done_before: int

    def counts(self) -> dict[str, int]:
        """By kind of reason, how many images have no caption."""
        return dict(Counter(reason.split(":")[0] for reason in self.left_out.values()))

    def named(self) -> list[str]:
        """The first of them, with the reason."""
        return [f"{key}: {reason}" for key, reason in list(self.left_out.items())[:_NAMED]]


def caption_source(
    source: str | Path,
    run: str | Path,
    *,
    out: Path,
    decoder: DecoderConfig = DecoderConfig(),
    columns: Columns = Columns(),  # noqa: B008 - frozen
    image_encoder: str | None = None,
    batch_size: int = 64,
    workers: int = 1,
    device: str = "cpu",
    present: WhenPresent = "refuse",
    about: Mapping[str, Any] | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> Captioned:
    """Caption the images of a source.

    The file has a line `{"key": ..., "caption": ...}` for each image that can be read, in the order of the source;
    beside it, `NAME.about.json` says how it was made and which images could not be read. What is done is kept in
    `NAME.parts` until all is.

    Args:
        source: What `read_pictures` takes.
        run: A folder that `load_captioner` takes.
        out: The file, of JSON lines.
        decoder: How.
        columns: Which columns of the source say what.
        image_encoder: Where the image encoder lies, if it is no longer where it was.
        batch_size: Images at once, >= 1; what "nucleus" draws depends on it.
        workers: Threads that decode images, >= 1.
        device: "cpu", or "auto" for a GPU where there is one.
        present: What to do if there are captions, or parts of them, already.
        about: What else to say of how they were made.
        progress: Is told how many images are done, of how many.

    Returns:
        How many images were captioned, and what was left out.

    Raises:
        CorpusError: If the source or the captioner is missing or damaged, or no image can be read.
        ConfigError: If a setting is out of range, or the file is not to be touched.
    """
    at_least("batch_size", batch_size, 1)
    at_least("workers", workers, 1)
    captioner = load_captioner(run)
    frozen = remembered_tokens(captioner.image, folder=image_encoder, device=device)
    captioner.to(next(frozen.parameters()).device)
    read, first, lost = read_pictures(source, columns)
    job = {
        "job": "caption",
        "source": str(Path(source).resolve()),
        "keys": list(first),
        "captioner": weights_digest(captioner),  # type: ignore[arg-type]
        "decoder": decoder.settings(),
        "batch_size": batch_size,
    }
    beside, parts_in = out.with_name(f"{out.name}.about.json"), out.with_name(f"{out.name}.parts")
    if done := _finished(out, beside, job, present):
        return Captioned(done["images"], done["left_out"], read.notes, done["images"])
    folder = JobFolder.claim(parts_in, job, present=present)
    keys = list(first)
    stored, numbers = read.images(list(first.values()))
    spans = [range(at, min(at + batch_size, len(keys))) for at in range(0, len(keys), batch_size)]
    held = {span.start: folder.read_json(_part(span)) for span in spans}
    waiting = [span for span in spans if held[span.start] is None]
    before = sum(len(part["captions"]) for part in held.values() if part is not None)
    tell = progress or (lambda done, of: None)
    groups = [numbers[list(span)].tolist() for span in waiting]
    prepared = stored.prepared(groups, prepare=frozen.prepared, side=frozen.side, workers=workers)
    done_images = sum(len(span) for span in spans if held[span.start] is not None)
    for span, (pixels, reasons) in zip(waiting, prepared, strict=True):
        sound = [place for place in range(len(span)) if place not in reasons]
        said = captioner.caption(frozen.tokens(pixels[sound]), decoder.make(span.start)) if sound else []
        held[span.start] = {
            "captions": [[keys[span[place]], caption] for place, caption in zip(sound, said, strict=True)],
            "left_out": {keys[span[place]]: reason for place, reason in reasons.items()},
        }
        folder.write_json(_part(span), held[span.start])
        done_images += len(span)
        tell(done_images, len(keys))
    captions = [pair for span in spans for pair in held[span.start]["captions"]]
    left_out = dict(lost) | {key: why for span in spans for key, why in held[span.start]["left_out"].items()}
    if not captions:
        key, reason = next(iter(left_out.items()))
        raise CorpusError(f"none of {len(keys)} images can be read; {key}: {reason}")
    _write(out, captions)
    summary = {"images": len(captions), "left_out": left_out, "made": {**job, "keys": len(keys)}, **(about or {})}
    write_json(beside, summary | {"digest": _digest(job)})
    _clear(folder)
    return Captioned(len(captions), left_out, read.notes, before)


def _part(span: Sequence[int]) -> str:
    return f"captions/{span[0]:09d}.json"


def _finished(out: Path, beside: Path, job: Mapping[str, Any], present: WhenPresent) -> dict[str, Any] | None:
    """What was said of captions that are there already, if they are of this job and to be kept.

    Raises:
        ConfigError: If they are not to be touched, or are of another job.
    """
    if not out.exists():
        return None
    if not out.is_file():
        raise ConfigError(f"{out} is no file; name a file of JSON lines with --out")
    if present == "overwrite":
        return None
    if present == "refuse":
        raise ConfigError(f"{out} is there already; pass --resume to keep it, or --overwrite to replace it")
    said = read_json(beside) if beside.is_file() else None
    if not isinstance(said, dict) or said.get("digest") != _digest(job):
        raise ConfigError(f"{out} holds captions of another job; pass --overwrite to replace them, or another --out")
    return said


def _digest(job: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(job, sort_keys=True).encode()).hexdigest()[:16]


def _write(out: Path, captions: Sequence[Sequence[str]]) -> None:
    with whole(out) as partial_file, open(partial_file, "w", encoding="utf-8") as file:
        file.writelines(
            json.dumps({"key": key, "caption": caption}, ensure_ascii=False) + "\n" for key, caption in captions
        )


def _clear(folder: JobFolder) -> None:
    """Remove the parts, and their folder if nothing else is in it."""
    folder.remove("captions")
    for name in ("job.json", JOURNAL):
        (folder.path / name).unlink(missing_ok=True)
    with suppress(OSError):
        folder.path.rmdir()
