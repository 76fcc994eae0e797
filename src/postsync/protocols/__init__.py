"""What a system, a pipeline, a guide, a codec and an objective must be. No code of a model is here."""
