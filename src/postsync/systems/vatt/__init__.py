"""VATT: a language model says what a clip sounds like, a masked transformer makes the sound (arXiv 2411.05679)."""

from __future__ import annotations

from ...protocols.system import System

SYSTEM = System(
    "vatt", "VATT: tell what you hear from what you see", "2411.05679", "sound and captions",
    public="published, with no licence stated",
    licences="official code: BSD-4-Clause; weights: none stated, derived from Vicuna or Gemma and AudioGen's codec "
             "(CC-BY-NC-4.0): treat as research only")
