"""What an adapted model still sees of concepts: zero-shot scores, to be measured before and after."""

from collections.abc import Mapping

import torch

from vergence.corpus import Lexicon
from vergence.data.concepts import concepts_shown, read_concepts
from vergence.errors import CorpusError
from vergence.probes.awareness import awareness
from vergence.training.adapt import Measure, Measured
from vergence.training.models import ImageTextModel

_AT_ONCE = 64


def zero_shot_measure(images: str, lexicon: Lexicon, *, workers: int = 1) -> Measure:
    """Macro-F1 within each group, by bare names.

    Args:
        images: What `read_concepts` takes.
        lexicon: Whose groups and concepts are asked for.
        workers: Threads that decode.

    Raises:
        CorpusError: If images cannot be read.
        ConfigError: If none shows a concept of the lexicon.
    """
    groups = {group.name: [concept.name for concept in group.concepts] for group in lexicon.groups}
    source = read_concepts(images)
    shown, _ = concepts_shown(source.rows, groups)
    first = {key: row for key, row in source.by_key().items() if key in shown}
    stored, numbers = source.images(list(first.values()))
    spans = [numbers[at : at + _AT_ONCE].tolist() for at in range(0, len(numbers), _AT_ONCE)]

    def measure(model: ImageTextModel) -> Mapping[str, Measured]:
        parts = []
        for pixels, wrong in stored.prepared(spans, prepare=model.prepared, side=model.side, workers=workers):
            if wrong:
                raise CorpusError(f"{images}: {wrong[min(wrong)]}; leave that image out")
            parts.append(model.embed_pixels(pixels))
        labels = [shown[key] for key in first]
        found = awareness(torch.cat(parts), labels, groups, model.embed_texts, n_resamples=100).groups
        scores = zip(found["group"], found["macro_f1"].tolist(), strict=True)
        return {f"{group}_macro_f1": Measured(score) for group, score in scores}

    return measure
