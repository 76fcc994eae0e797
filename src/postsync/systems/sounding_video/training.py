"""The recipe of Sounding Video's connectors: a preset's name -> the untrained objective over trained U-Nets."""

from __future__ import annotations

from pathlib import Path

from diffusers import DDIMScheduler

from ... import weights
from ...backbones.animatediff import load_video_unet, new_unet
from ...backbones.audioldm import AudioLDM, load_unet
from ...codecs.mel_vae import MelCodec
from ...codecs.pictures import PictureCodec, picture_codec
from ...diffusion.schedule import Schedule
from ...encoders.gram import load_gram
from ...weights.layout import readable
from . import presets
from .joint import Connectors, ConnectorType, build
from .objective import JointObjective, Schooling

PRESETS = {"mini": presets.mini, "tiny": presets.tiny}


def connectors(preset: str, audio: Path | None = None, video: Path | None = None, start: Path | None = None,
               codec: Path | None = None, pictures: Path | None = None, gram: Path | None = None,
               connector_type: ConnectorType = "additive", train_motion: bool = False, warm_up: int = 0,
               picture_given: float = 0.0, sound_given: float = 0.0) -> JointObjective:
    """New connectors, or those in the folder `start`, between the U-Nets in the folders `audio` and `video`, by default
    the bundled ones; the tiny preset has random ones. `warm_up` and the shares: see `Schooling`.

    Raises WeightsError for folders of another model or size.
    """
    encoder = load_gram(gram or weights.bundled("gram")).float()
    sizes = PRESETS[preset](text_dim=encoder.embedding_dim)
    assert sizes.video is not None
    if preset == "tiny":
        base, seen = AudioLDM(sizes.audio), (new_unet(sizes.video), DDIMScheduler(**sizes.video.scheduler))
        heard, images = (base.unet, base.scheduler), picture_codec("tiny").codec
    else:
        heard = load_unet(audio or weights.bundled("mdg"))
        seen = load_video_unet(video or weights.bundled("animatediff"))
        images = PictureCodec.from_pretrained(pictures or weights.bundled("picture_codec"))
    joint = build(heard[0], seen[0], **sizes.connectors, connector_type=connector_type)
    if start is not None:
        with readable(start, "Sounding Video's connectors", "name an export of train sounding_video."):
            trained = Connectors.from_pretrained(start / "connectors")
            joint.connectors.load_state_dict(trained.state_dict())
    return JointObjective(joint, (Schedule(heard[1]), Schedule(seen[1])),
                          MelCodec.from_pretrained(codec or weights.bundled("mel_codec")), images, encoder,
                          gains=(sizes.audio.text_gain, sizes.video.text_gain), folded_bins=sizes.audio.folded_bins,
                          size=sizes.size, num_captions=sizes.video.num_captions,
                          shared_noise=sizes.video.shared_noise, train_motion=train_motion,
                          schooling=Schooling(warm_up, picture_given, sound_given))
