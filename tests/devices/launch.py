"""Runs a function in two processes that find each other as those of ``torchrun`` do."""

import multiprocessing
import os
import socket
import traceback

import torch

WORLD_SIZE = 2


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def _enter(rank, port, function, folder, answers):
    os.environ |= {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": str(WORLD_SIZE),
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "NODE_RANK": "0",
        "GLOO_SOCKET_IFNAME": "lo",
        "HF_HUB_OFFLINE": "1",
    }
    torch.set_num_threads(1)
    try:
        answers.put((rank, None, function(rank, folder)))
    except BaseException:  # noqa: BLE001 - it is raised in the parent process
        answers.put((rank, traceback.format_exc(), None))
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


def in_two_processes(function, folder, timeout_seconds=250):
    """What ``function(rank, folder)`` returns in each process; numbers and plain containers only.

    Raises:
        AssertionError: With the traceback of a process that failed.
    """
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    port = free_port()
    processes = [
        context.Process(target=_enter, args=(rank, port, function, folder, answers)) for rank in range(WORLD_SIZE)
    ]
    for process in processes:
        process.start()
    try:
        found = {}
        for _ in processes:
            rank, error, answer = answers.get(timeout=timeout_seconds)
            assert error is None, f"process {rank}:\n{error}"
            found[rank] = answer
        return [found[rank] for rank in range(WORLD_SIZE)]
    finally:
        for process in processes:
            process.join(timeout=5)
            if process.is_alive():
                process.kill()
