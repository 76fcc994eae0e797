"""Frozen video, audio and text encoders, and the training of our own."""

from ..protocols.system import Option, Trainable
from ..protocols.train_config import TrainConfig
from ..weights.hub import Download

TRAINABLES = (
    Trainable("gram", "video, audio and text towers in one embedding space", "postsync.encoders.training:gram",
              TrainConfig(steps=3000, batch_size=48, lr=1.5e-3, warmup=80, weight_decay=0.03), count=2600,
              parts={"start": "trained towers to start from"},
              options={"blend": Option(float, "share of the trained weights in the export, the rest those of the start",
                                       low=0.0, high=1.0)}),
    Trainable("gram_pictures", "GRAM's video tower, trained further beside the bundled audio and text towers",
              "postsync.encoders.training:gram_pictures",
              TrainConfig(steps=8000, batch_size=48, lr=1.5e-3, warmup=100, weight_decay=0.03),
              count=6500, presets=("mini",), parts={"gram": "the towers, an export of gram"}),
    Trainable("cavp", "CAVP: video and audio in one embedding space, four vectors a second",
              "postsync.encoders.training:cavp",
              TrainConfig(steps=3000, batch_size=24, lr=5e-4, warmup=100, weight_decay=0.03), count=2600,
              parts={"start": "trained encoders to start from"}),
)

_DIFF_FOLEY = "MIT (code: Apache-2.0)"

DOWNLOADS = (
    Download("bert", "google-bert/bert-base-uncased", ("vocab.txt",), "Apache-2.0", "the words of GRAM's towers"),
    Download("roberta", "FacebookAI/roberta-base", ("vocab.json", "merges.txt"), "MIT", "the words of CLAP"),
    Download("clap", "lukewys/laion_clap", ("630k-audioset-best.pt",), "CC0, unconfirmed", "FAD-CLAP, CLAP-score",
             "postsync weights convert clap {folder}/630k-audioset-best.pt"),
    Download("cavp", "SimianLuo/Diff-Foley", ("diff_foley_ckpt/cavp_epoch66.ckpt",), _DIFF_FOLEY, "Align-Acc, MGAudio",
             "postsync weights convert cavp {folder}/diff_foley_ckpt/cavp_epoch66.ckpt"),
    Download("align_classifier", "SimianLuo/Diff-Foley", ("diff_foley_ckpt/eval_classifier.ckpt",), _DIFF_FOLEY,
             "Align-Acc", "postsync weights convert align_classifier {folder}/diff_foley_ckpt/eval_classifier.ckpt"),
)
