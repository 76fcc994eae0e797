"""Training: one small loop for every objective of the package."""

from .config import TrainConfig

__all__ = ["TrainConfig"]
