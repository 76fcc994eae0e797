"""Training: one small loop for every objective of the package."""

from ..protocols.train_config import TrainConfig

__all__ = ["TrainConfig"]
