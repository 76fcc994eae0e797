"""Metrics, one file a family: each a plain function beside a mergeable torchmetrics class that stands on it."""
