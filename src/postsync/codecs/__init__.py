"""Codecs: sound to latents and back."""
