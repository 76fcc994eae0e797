"""How well the picture alone tells when something sounds: MotionEnvelope on held-out scenes, and on real clips by hand.

    python benchmarks/timing.py --count 200 --seed 0

Prints onset F1 (50 ms, visible events) and envelope r, for the clean world and for the one with all nuisances.
"""

from __future__ import annotations

import argparse
import platform

from postsync.metrics.envelope import EnvelopeCorrelation
from postsync.metrics.onsets import OnsetF1
from postsync.scenes.render import HELD_OUT_SEED, SceneConfig, clean_scenes, full_scenes, render_scene
from postsync.timing.motion import motion_envelope


def measure(config: SceneConfig, seeds: range) -> tuple[float, float, float, float]:
    """Onset F1, precision, recall (counts pooled over the clips) and mean envelope r."""
    f1, correlation = OnsetF1(), EnvelopeCorrelation()
    for seed in seeds:
        clip = render_scene(seed, config)
        assert clip.frames is not None
        assert clip.times is not None
        assert clip.envelope is not None
        result = motion_envelope(zip(clip.frames, clip.times.tolist(), strict=True), clip.duration_s)
        sudden = [event.t for event in clip.events if event.visible and event.t > 0]
        f1.update(result.onsets_s, sudden)
        if clip.envelope.std() > 0:
            correlation.update(result.envelope, clip.envelope)
    scores = f1.scores()
    return scores.f1, scores.precision, scores.recall, float(correlation.compute())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0, help="first held-out scene")
    arguments = parser.parse_args()
    first = HELD_OUT_SEED + arguments.seed
    seeds = range(first, first + arguments.count)
    print(f"MotionEnvelope, {arguments.count} scenes of 4 s from seed {first}, {platform.machine()}")
    print("world   onset F1  precision  recall  envelope r")
    for name, config in (("clean", clean_scenes()), ("full", full_scenes())):
        f1, precision, recall, r = measure(config, seeds)
        print(f"{name:6s}  {f1:8.3f}  {precision:9.3f}  {recall:6.3f}  {r:10.3f}")


if __name__ == "__main__":
    main()
