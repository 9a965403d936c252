"""The kernel that executes a notebook: this interpreter's, and never longer alive than who started it.

``python -m robnb.kernel -f FILE`` is ipykernel's own launcher after one request to the system: end this process when
its parent ends. ipykernel only polls for being adopted by process 1, and on a desktop or in a container an
orphan may be adopted by another process; its training would then go on beside the next run's.
"""

from __future__ import annotations

import ctypes
import signal
import sys

from ipykernel.kernelspec import get_kernel_dict
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


class ThisPythonKernelManager(AsyncKernelManager):
    """Starts the kernel with the running interpreter, whatever kernel a ``python3`` kernelspec on the machine names."""

    @property
    def kernel_spec(self) -> KernelSpec:
        spec = get_kernel_dict()
        spec["argv"] = [__name__ if part == "ipykernel_launcher" else part for part in spec["argv"]]
        return KernelSpec(**spec)


def main() -> None:
    """Become an ipykernel that ends with its parent."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    from ipykernel.kernelapp import launch_new_instance

    launch_new_instance()


if __name__ == "__main__":
    main()
