"""Makes torchvision importable beside a build of torch that its compiled part is not for.

open_clip imports torchvision for its image transforms alone; the operators that the compiled part would bring are
declared here, and never called. Python runs this file at its start when the folder is on PYTHONPATH.
"""

import re
from importlib.util import find_spec
from pathlib import Path

import torch

_library = torch.library.Library("torchvision", "DEF")
_folder = Path(find_spec("torchvision").origin).parent
_names = {"nms"}
for _file in _folder.rglob("*.py"):
    _names |= set(re.findall(r'(?:torchvision::|register_meta\("|ops\.torchvision\.)(\w+)', _file.read_text()))
for _name in sorted(_names):
    _library.define(f"{_name}(Tensor a) -> Tensor")
