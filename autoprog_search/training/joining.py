"""Meeting the processes that torchrun has started beside this one; of what ends them all, one speaks."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist

from autoprog_search.errors import ConfigError, SaidElsewhere
from autoprog_search.faults import known_error
from autoprog_search.training.world import World

PATIENCE = timedelta(minutes=30)
"""How long a process waits for another that says nothing. One that dies is noticed at once, unless its machine does."""

BACKEND = "AUTOPROG_SEARCH_BACKEND"
"""Environment variable: `gloo` or `nccl` for gradients, in place of NCCL where there are GPUs and gloo elsewhere."""

HERE, SAID, EXIT_CODE = (f"autoprog-search/{key}" for key in ("here", "said", "exit-code"))
"""Keys of the launcher's store: who has come; how many have had something to say; how the first of them ends."""

BACKENDS = {"gloo": "gloo", "nccl": "cpu:gloo,cuda:nccl"}


@contextmanager
def joined() -> Iterator[World]:
    """Meet the other processes that torchrun has started; inside, `current_world` is theirs.

    Where one fails, the others do at their next meeting, or all fail in the same way. The first says why; the others
    raise `SaidElsewhere`, with its exit code.

    Raises:
        ConfigError: the launcher's environment is none, or what it asks for is not there.
        LostProcess: the others do not come.
    """
    world, on_this_machine = _launched(os.environ)
    store, rank, size = next(dist.rendezvous("env://", timeout=PATIENCE))
    try:
        _end_with(store)
        store.set(f"{HERE}/{rank}", "")
        store.wait([f"{HERE}/{other}" for other in range(size)], PATIENCE)
        backend = _backend(os.environ, on_this_machine)
        if backend == "nccl":
            torch.cuda.set_device(world.local_rank)
        dist.init_process_group(BACKENDS[backend], store=store, rank=rank, world_size=size, timeout=PATIENCE)
        yield world
    except BaseException as error:
        if threading.current_thread() is threading.main_thread():
            # It ends, and says what it has to, whatever torchrun sends it meanwhile.
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        first_code = _say(store, _exit_code(error))
        if first_code is None:
            raise
        raise SaidElsewhere(first_code) from None
    # Not where something failed: that could wait for sums that never come. The process ends, and its connections do.
    dist.destroy_process_group()


def _launched(environment: Mapping[str, str]) -> tuple[World, int]:
    """Who this process is, and how many are on its machine, by the launcher's environment."""
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    for name in (*names, "MASTER_ADDR", "MASTER_PORT"):
        value = environment.get(name, "")
        if not value or (name in names and not value.isdecimal()):
            raise ConfigError(f"{name}: {value!r} is no launcher's; start the processes with torchrun")
    rank, size, local_rank, local_size = (int(environment[name]) for name in names)
    return World(rank, size, local_rank), local_size


def _backend(environment: Mapping[str, str], on_this_machine: int) -> str:
    """What gradients go over."""
    gpus = torch.cuda.device_count()
    backend = environment.get(BACKEND) or ("nccl" if gpus else "gloo")
    if backend not in BACKENDS:
        raise ConfigError(f"{BACKEND}: {backend!r} is neither gloo nor nccl")
    if backend == "nccl" and on_this_machine > gpus:
        raise ConfigError(
            f"{BACKEND}: nccl takes a GPU a process, and this machine has {gpus} for {on_this_machine}; start fewer, "
            f"or set {BACKEND}=gloo"
        )
    return backend


def _end_with(store: dist.Store) -> None:
    """From now on let SIGTERM, where a run does not take it, end this process as whoever has the word has ended.

    torchrun sends one to all others as soon as a process has ended.
    """

    def end(*_: object) -> None:
        if store.check([EXIT_CODE]):
            raise SystemExit  # nobody takes it for an error; `joined` says with which code
        raise KeyboardInterrupt

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, end)


def _exit_code(error: BaseException) -> int:
    if KeyboardInterrupt in (type(error), type(error.__cause__)):  # click's own exception has it as its cause
        return 130
    return getattr(known_error(error) or error, "exit_code", 1)


def _say(store: dist.Store, code: int) -> int | None:
    """Take the word; None where it was free, else the exit code of the process that has it."""
    try:
        if store.add(SAID, 1) == 1:
            store.set(EXIT_CODE, str(code))
            return None
        return int(store.get(EXIT_CODE))
    except RuntimeError:  # the launcher that keeps the store is gone, too
        return None
