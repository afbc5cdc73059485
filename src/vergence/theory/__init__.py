r"""The theorem, once: between which bounds each factor's score falls, and why; and what a measurement makes of that.

[cai2025] Thm 4.1 speaks of one output size, that of the block $I_\theta \setminus I_\rho$. Elsewhere a factor's
*strength* orders what a representation keeps: the largest correlation between a reading of the image and a reading of
the text that are both of that factor. It is 1 in the block, 0 for what is never mentioned, in between for the rest.
Every prediction says whether its bounds are proved or expected.
"""

from vergence.theory.outcomes import Measured, Outcome, Prediction, judge
from vergence.theory.predictions import predict
from vergence.theory.strengths import strength

__all__ = ["Measured", "Outcome", "Prediction", "judge", "predict", "strength"]
