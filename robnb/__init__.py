"""robnb: does robustness on ImageNet transfer to downstream tasks?"""

__version__ = "0.1.0"
