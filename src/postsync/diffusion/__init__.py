"""Diffusion without a network: parameterizations, solvers, guidance and windows, shared by all latent systems."""
