"""MDG: the volume spanned by video, audio and text embeddings steers a frozen audio diffusion model (arXiv 2509.24550).
"""

from __future__ import annotations

from ...protocols.system import System

SYSTEM = System(
    "mdg", "MDG: training-free multimodal guidance for video-to-audio", "2509.24550", "sound",
    public="needs none of its own: it guides public models (AudioLDM, GRAM)",
    licences="official code: no licence file; AudioLDM weights: non-commercial (CC-BY-NC-SA-4.0, check the card); "
             "GRAM: code MIT, its weights state no licence")
