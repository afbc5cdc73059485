"""Processes that do not outlive the one that started them; a module of its own, so that they need not import torch."""

import os
from multiprocessing import parent_process
from threading import Thread


def end_with_parent() -> None:
    """Make this process end as soon as its parent has, however that came about; for a pool's initializer."""
    Thread(target=_wait_and_end, daemon=True).start()


def _wait_and_end() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
