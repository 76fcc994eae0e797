"""FoleyGRAM, in words: the pipeline's own options. Imports nothing heavy."""

from __future__ import annotations

from ...protocols.system import Option

OPTIONS = {
    "solver": Option(str, "how each step is taken", choices=("dpmpp_2m_sde", "dpmpp_3m_sde")),
    "eta": Option(float, "share of new noise at every step: 0 none, 1 as the solver was published", low=0.0, high=1.0),
    "fader_db": Option(float, "how far a fader moves after decoding to meet the envelope", low=0.0, high=60.0,
                       unit="dB"),
    "picture": Option(str, "whether the picture says what sounds; auto: where the weights know film, or neither words "
                      "nor a reference are given", default="auto", choices=("auto", "always", "never")),
}
