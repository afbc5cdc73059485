"""Say what an image-text model will learn, miss and ignore; measure it; change it on purpose."""

from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType

from vergence.factors import Factor, FactorSpace
from vergence.misalignment import Misalignment

__all__ = ["Factor", "FactorSpace", "Misalignment"]
__version__ = "0.1.0"


def __getattr__(name: str) -> ModuleType:
    """Import a sub-package on first use, so that `vergence.losses` works and `import vergence` costs nothing."""
    if any(module.name == name for module in iter_modules(__path__)):
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, "__version__", *(module.name for module in iter_modules(__path__))})
