"""Trainings on several gloo ranks on this machine, beside the same on one process."""

import os
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from safetensors.torch import load_file, save_file
from torch import Tensor

Job = Callable[..., dict[str, Tensor]]


def on_ranks(count: int, job: Job, folder: Path, *arguments: Any) -> list[dict[str, Tensor]]:
    """Run a job on each of several ranks; return what each returned."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    mp.spawn(_rank, args=(count, port, folder, partial(job, *arguments)), nprocs=count)
    return [load_file(folder / f"rank-{rank}.safetensors") for rank in range(count)]


def _rank(rank: int, count: int, port: int, folder: Path, job: Job) -> None:
    os.environ |= {
        "GLOO_SOCKET_IFNAME": "lo",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(count),
    }
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    try:
        tensors = job()
        save_file({name: value.contiguous() for name, value in tensors.items()}, folder / f"rank-{rank}.safetensors")
        dist.barrier()
    finally:
        dist.destroy_process_group()
