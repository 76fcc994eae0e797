"""FoleyGRAM: GRAM-aligned encoders say what sounds, an envelope through a control branch says when (arXiv 2510.05829)."""

from __future__ import annotations

from ...protocols.system import System

SYSTEM = System(
    "foleygram", "FoleyGRAM: video-to-audio with GRAM-aligned multimodal encoders", "2510.05829", "sound",
    public="none: neither code nor trained weights were published; its backbone, Stable Audio Open 1.0, is public behind "
           "a form",
    licences="mini: Apache-2.0; Stable Audio Open 1.0: Stability AI Community License; GRAM: code MIT, its weights carry "
             "no statement",
    limits="its mini follows the picture's timing and the words, and does not recognise objects in real pictures",
    pipeline="postsync.systems.foleygram.pipeline:FoleyGRAMPipeline",
    presets={"mini": "foleygram"}, parts={"codec": "mel_codec", "gram": "gram"})
