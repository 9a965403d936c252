"""Training in several processes, on one GPU each: starting them, and what one of them does differently.

`together` calls a training function here, or starts torchrun with ``python -m robnb.launch JOB`` in each of its
processes, where JOB is a JSON file that names the function and its arguments. Who calls it needs no torchrun of
his own, so a notebook can use all GPUs of its machine. With the environment variable ROBNB_TORCHRUN the processes are
started by that command instead, on several machines too; it ends them itself when its caller dies, as srun does.
"""

from __future__ import annotations

import argparse
import codecs
import contextlib
import errno
import importlib
import json
import os
import re
import shlex
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import asdict, is_dataclass
from pathlib import Path
from types import UnionType
from typing import IO, Any, NoReturn, get_args, get_origin, get_type_hints

import torch
from mmengine.device import get_device
from mmengine.dist import all_reduce, all_reduce_params, broadcast, is_distributed
from mmengine.hooks import Hook
from mmengine.model import MMDistributedDataParallel
from mmengine.runner import Runner
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from robnb.cores import cores
from robnb.errors import UserError

#: The command that starts the training processes instead of the torchrun of this machine, without ``-m robnb.launch``.
TORCHRUN = "ROBNB_TORCHRUN"
#: Seconds that ended processes get before they are killed.
GRACE = 30


def share(batch_size: int, processes: int) -> int:
    """How many images of a batch each process trains on.

    Raises:
        UserError: ``processes`` is not a positive number, or does not divide the batch.
    """
    if isinstance(processes, bool) or not isinstance(processes, int) or processes < 1:
        raise UserError(f"processes is {processes!r}: give the number of training processes, 1 or one for each GPU.")
    if batch_size % processes:
        raise UserError(
            f"{processes} processes cannot share a batch of {batch_size} images evenly: "
            f"make batch_size a multiple of processes."
        )
    return batch_size // processes


# ---- In the process that wants a training done


def together(function: Callable[..., None], arguments: dict[str, Any], processes: int, scratch: Path) -> None:
    """Call ``function(**arguments)`` here, or once in each of ``processes`` processes that train together.

    The processes end with this one, however it ends. What rank 0 prints appears here.

    Args:
        function: of a module, with annotated arguments.
        arguments: plain JSON values, paths and frozen dataclasses of them.
        scratch: a folder on a path that all processes see; job, output and failure are written into it.

    Raises:
        UserError: what a process raised.
        OSError: there was no space left on the disk for a process.
        RuntimeError: the processes failed in another way; it names the file with what they wrote.
    """
    if processes == 1:
        function(**arguments)
        return
    job = scratch.resolve() / "job.json"
    description = {
        "function": f"{function.__module__}:{function.__qualname__}", "processes": processes, "arguments": arguments,
    }  # fmt: skip
    job.write_text(json.dumps(description, default=lambda value: asdict(value) if is_dataclass(value) else str(value)))
    _failure_of(job).unlink(missing_ok=True)
    log = job.with_name("output.txt")
    with log.open("wb") as output:
        code = _run(_command(job, processes), _environment(processes), output)
    if code:
        _raise_failure(job, log, f"training in {processes} processes ended with exit code {code}")


def _command(job: Path, processes: int) -> list[str]:
    if os.environ.get(TORCHRUN):
        return [*shlex.split(os.environ[TORCHRUN]), "-m", __name__, str(job)]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--local-addr=127.0.0.1"]
    return [*torchrun, f"--nproc-per-node={processes}", "-m", __name__, str(job), "--end-with-stdin"]


def _environment(processes: int) -> dict[str, str]:
    """This process's, with this machine's cores shared out: torchrun would give each process one."""
    if os.environ.get(TORCHRUN):
        return dict(os.environ)
    return {"OMP_NUM_THREADS": str(max(1, cores() // processes)), **os.environ}


def _run(command: list[str], environment: dict[str, str], output: IO[bytes]) -> int:
    """Run a command to its end and give its exit code; its stdout is shown here, its stderr kept in ``output``.

    Its stdin stays open as long as this process lives, which is how the training processes see that it has died.
    A session of its own keeps Ctrl-C and a notebook's interrupt from it: this process ends it.
    """
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=output,
        env=environment,
        start_new_session=True,
    )
    try:
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        while chunk := os.read(process.stdout.fileno(), 1 << 16):
            sys.stdout.write(decoder.decode(chunk))
            sys.stdout.flush()
        return process.wait()
    finally:
        process.stdin.close()
        process.terminate()
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def _failure_of(job: Path) -> Path:
    """Where the first process that failed says why, if it could."""
    return job.with_name("failure.json")


def _raise_failure(job: Path, log: Path, what: str) -> NoReturn:
    try:
        failure = json.loads(_failure_of(job).read_text())
    except (FileNotFoundError, ValueError):  # none, or one that found no space to be written
        failure = {"kind": "cause", "errno": None, "text": "none was given"}
    if failure["kind"] == "UserError":
        raise UserError(failure["text"])
    if failure["errno"] in (errno.ENOSPC, errno.EDQUOT):
        raise OSError(failure["errno"], failure["text"])
    cause = f"{failure['kind']}: {failure['text']}"
    if re.search(r"exitcode *: -9\b", log.read_text(errors="replace")):  # torchrun's report; the rest is a consequence
        cause = "one of them was killed, mostly for want of memory"
    raise RuntimeError(f"{what}; what they wrote is in {log}. {cause}")


# ---- In each of the processes


def main() -> None:
    """Do a job as one process of many; started by torchrun, which sets RANK, LOCAL_RANK and WORLD_SIZE."""
    parser = argparse.ArgumentParser(prog="robnb.launch", description=main.__doc__)
    parser.add_argument("job", type=Path, help="the JSON file that robnb has written")
    parser.add_argument("--end-with-stdin", action="store_true", help="end when stdin is closed from the other side")
    options = parser.parse_args()
    if "RANK" not in os.environ:
        parser.error("torchrun starts this: set processes in a notebook, and robnb runs torchrun")
    if options.end_with_stdin:
        threading.Thread(target=_end_with_stdin, daemon=True).start()
    if os.environ["RANK"] != "0":
        os.dup2(2, 1)  # one process prints for all
    try:
        _work(json.loads(options.job.read_text()))
    except BaseException as error:
        traceback.print_exc()
        _say_why(error, options.job)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1)  # an ordinary exit could wait for processes that wait for this one


def _end_with_stdin() -> None:
    while os.read(0, 1024):
        pass
    os._exit(1)


def _work(job: dict[str, Any]) -> None:
    module, name = job["function"].split(":")
    _join(job["processes"])
    function = getattr(importlib.import_module(module), name)
    kinds = get_type_hints(function)
    function(**{key: _typed(value, kinds[key]) for key, value in job["arguments"].items()})
    torch.distributed.destroy_process_group()


def _typed(value: Any, kind: Any) -> Any:
    """A JSON value as the annotated type: a dataclass, a tuple or a path is made again, anything else is as it is."""
    if value is None:
        return None
    if get_origin(kind) is UnionType:  # something or None
        kind = get_args(kind)[0]
    if is_dataclass(kind):
        kinds = get_type_hints(kind)
        return kind(**{name: _typed(part, kinds[name]) for name, part in value.items()})
    if get_origin(kind) is tuple:
        return tuple(_typed(part, get_args(kind)[0]) for part in value)
    if get_origin(kind) is dict:
        return {name: _typed(part, get_args(kind)[1]) for name, part in value.items()}
    return Path(value) if kind is Path else value


def _join(processes: int) -> None:
    """Meet the other processes: by nccl on one GPU each, by gloo where there is no GPU."""
    started, local_rank = int(os.environ["WORLD_SIZE"]), int(os.environ["LOCAL_RANK"])
    if started != processes:
        raise UserError(f"{TORCHRUN} starts {started} processes but the notebook says {processes}: make them equal.")
    if torch.cuda.is_available():
        if local_rank >= torch.cuda.device_count():
            raise UserError(
                f"a machine with {torch.cuda.device_count()} GPUs cannot train in {os.environ['LOCAL_WORLD_SIZE']} "
                f"processes: give at most one process for each GPU."
            )
        torch.cuda.set_device(local_rank)
    torch.distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")


def _say_why(error: BaseException, job: Path) -> None:
    """Tell the process that waits; the first to fail is the one to listen to, as the others only miss it."""
    said = {"kind": type(error).__name__, "text": str(error), "errno": getattr(error, "errno", None)}
    with contextlib.suppress(OSError), _failure_of(job).open("x") as file:
        json.dump(said, file)


# ---- In a training; without other processes each of these changes nothing


def wrapped(model: nn.Module, unused_parameters: bool) -> nn.Module:
    """The model as mmengine's Runner takes it: on the device, its gradients averaged over the processes.

    Args:
        unused_parameters: whether some parameters that are trained get no gradient.
    """
    if not is_distributed():
        return model
    model.train()  # mmdet's Swin freezes itself here, and DDP waits for the gradients of what is not frozen by now
    return MMDistributedDataParallel(
        model.to(get_device()),
        device_ids=[torch.cuda.current_device()] if torch.cuda.is_available() else None,
        broadcast_buffers=False,
        find_unused_parameters=unused_parameters,
    )


def wrapped_anew(model: nn.Module) -> nn.Module:
    """The model in a wrapper that has not seen an iteration, as a training has it that goes on from a checkpoint.

    After its first iteration DDP packs the gradients in another order, and the order in which more than two processes
    add is that of the packing. So a training that was not interrupted takes a new wrapper at each checkpoint too.
    """
    return wrapped(model.module, model.find_unused_parameters) if is_distributed() else model


def as_rank_0_says(answer: bool) -> bool:
    """Rank 0's answer in every process: whether a file is there may look different on another machine."""
    said = torch.tensor(int(answer))
    broadcast(said)
    return bool(said)


def mean_of_processes(value: torch.Tensor) -> torch.Tensor:
    """The mean over the processes of a scalar."""
    mean = value.detach().clone()
    all_reduce(mean, "mean")
    return mean


class CommonStatistics(Hook):
    """Averages BatchNorm's running statistics over the processes after every iteration.

    mmengine's DDP lets them drift apart and keeps those of rank 0, which has seen one share of the images. Frozen
    statistics are not touched.
    """

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        norms = [module for module in runner.model.modules() if isinstance(module, _BatchNorm) and module.training]
        if norms:
            all_reduce_params([tensor for n in norms for tensor in (n.running_mean, n.running_var)], op="mean")


if __name__ == "__main__":
    main()
