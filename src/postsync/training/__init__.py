"""Training: one loop on Accelerate for every objective."""
