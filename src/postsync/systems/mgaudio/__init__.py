"""MGAudio, in words: the pipeline's own options. Imports nothing heavy."""

from __future__ import annotations

from ...protocols.system import Option

OPTIONS = {
    "solver": Option(str, "how each step is taken", choices=("euler", "heun", "euler_maruyama")),
}
