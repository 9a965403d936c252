"""How long things take: corruptions, sweeps and training, ours beside the original's and others', in one run."""

from robnb.speed.benchmark import Benchmark
from robnb.speed.end_to_end import EndToEnd

__all__ = ["Benchmark", "EndToEnd"]
