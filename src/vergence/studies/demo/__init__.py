"""The main job on real pairs: state what captions teach, train, measure what was learned, show both side by side."""

from vergence.data import POLICIES, Policy
from vergence.studies.demo.runner import run_demo
from vergence.studies.demo.spec import DemoSpec

__all__ = ["POLICIES", "DemoSpec", "Policy", "run_demo"]
