"""Sounding Video: sound and picture from one sentence, by two frozen U-Nets and connectors (arXiv 2409.17550)."""

from __future__ import annotations

from ...protocols.system import System

SYSTEM = System(
    "sounding_video", "A simple but strong baseline for sounding video generation", "2409.17550", "video with sound",
    public="the base models (AudioLDM-M, Stable Diffusion 1.5, AnimateDiff) are public; whether the trained "
           "connectors are was not verified",
    licences="official code: no licence file; AudioLDM weights: non-commercial (CC-BY-NC-SA-4.0, check the card); "
             "Stable Diffusion 1.5 family: CreativeML OpenRAIL-M")
