"""What representations hold: encode views, fit a probe on some concepts, score it on others."""

from vergence.probes.encode import Representations, encode
from vergence.probes.oracle import oracle_scores
from vergence.probes.protocol import Labelled, probe

__all__ = ["Labelled", "Representations", "encode", "oracle_scores", "probe"]
