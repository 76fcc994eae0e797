"""What is measured: one file a family, each a plain function beside a mergeable torchmetrics class."""
