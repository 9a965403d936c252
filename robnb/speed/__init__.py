"""How long a corruption takes: ours beside the original and others on one thread of the CPU, and ours on a GPU."""

from robnb.speed.benchmark import Benchmark

__all__ = ["Benchmark"]
