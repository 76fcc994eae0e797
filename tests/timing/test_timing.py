"""The one type of timing, and hits as an envelope that rings."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from postsync.errors import ConditionError
from postsync.features.envelope import CAUSAL, Envelope, frame_rms
from postsync.features.onsets import pick_onsets
from postsync.timing.timing import Timing, ringing_envelope, strengths_in

TIMES = torch.tensor([0.5, 1.25, 2.0004], dtype=torch.float64)
STRENGTHS = torch.tensor([1.0, 0.5, 0.25])


def test_hits_ring_at_their_times_and_as_loud_as_asked():
    envelope = ringing_envelope(TIMES, STRENGTHS, 3.0)
    assert envelope.shape == (300,)
    assert torch.allclose(envelope[[52, 127]], torch.tensor([0.5, 0.25]), atol=1e-3)  # the window is full of it
    assert float(envelope[70] / envelope[62]) == pytest.approx(2.718281828**-1, rel=1e-3)  # 80 ms later
    assert not envelope[:48].any()
    assert 0 < float(envelope[49]) < 0.35  # the centred window already reaches the onset
    assert torch.allclose(pick_onsets(envelope), TIMES, atol=0.03)
    assert torch.allclose(strengths_in(envelope, TIMES), STRENGTHS, atol=0.02)
    assert not ringing_envelope(TIMES, STRENGTHS, 0.3).any()


def test_the_envelope_of_a_hit_is_that_of_a_recorded_one():
    time = torch.arange(48000) / 16000
    burst = torch.where(time >= 1.0, torch.exp(-(time - 1.0) / 0.05), 0.0)
    noise = torch.randn(64, 48000, generator=torch.Generator().manual_seed(0))
    recorded = frame_rms(burst * noise, 16000).square().mean(0).sqrt()
    drawn = ringing_envelope(torch.tensor([1.0], dtype=torch.float64), torch.ones(1), 3.0, ring_s=0.05)
    assert torch.allclose(drawn, 0.5 * recorded / recorded.max(), atol=0.02)


def test_a_hit_rises_and_rings_as_its_family_does():
    slow = ringing_envelope(torch.tensor([0.5], dtype=torch.float64), torch.ones(1), 2.0, rise_s=0.2, ring_s=0.3)
    assert 65 <= int(slow.argmax()) <= 75
    assert float(slow.max()) == pytest.approx(0.5, abs=1e-3)


def test_hits_and_envelopes_make_the_same_timing():
    hits = Timing.of_hits(TIMES, 3.0, STRENGTHS)
    drawn = Timing.of_envelope(hits.envelope.values)
    assert torch.allclose(drawn.onsets_s, TIMES, atol=0.03)
    assert torch.allclose(hits.strengths, STRENGTHS, atol=0.02)
    assert (hits.estimated, hits.duration_s, len(Timing.of_hits(TIMES, 1.0).onsets_s)) == (False, 3.0, 1)
    assert Timing.of_hits([0.5], 1.0).strengths.tolist() == [1.0]


def test_it_is_moved_and_fitted_with_what_belongs_to_it():
    timing = Timing.of_hits(TIMES, 3.0, STRENGTHS)
    late = timing.moved(0.255)
    assert torch.allclose(late.onsets_s, TIMES + 0.255)
    assert torch.allclose(late.envelope.values[26:], (timing.envelope.values[:-26] + timing.envelope.values[1:-25]) / 2,
                          atol=1e-6)
    assert not late.envelope.values[:25].any()
    early = timing.moved(-1.0)
    assert torch.allclose(early.onsets_s, TIMES[1:] - 1.0)
    assert not early.envelope.values[200:].any()
    assert timing.moved(0.0) is timing.fitted(3.0) is timing
    assert timing.fitted(1.0).onsets_s.tolist() == [0.5]
    longer = timing.fitted(4.0)
    assert (longer.duration_s, float(longer.envelope.values[300:].max())) == (4.0, 0.0)


def test_spans_are_exchanged_and_cut_out():
    timing, other = Timing.of_hits(TIMES, 3.0), Timing.of_hits([0.1, 1.4], 3.0)
    mixed = timing.with_span(other, 1.0, 1.8)
    assert mixed.onsets_s.tolist() == [0.5, 1.4, pytest.approx(2.0004)]
    assert torch.equal(mixed.envelope.values[100:180], other.envelope.values[100:180])
    assert torch.equal(mixed.envelope.values[180:], timing.envelope.values[180:])
    assert timing.within(1.0, 1.8).onsets_s.tolist() == [1.25]
    part = replace(timing, envelope=replace(timing.envelope, estimated=True)).part(0.4, 0.9)
    assert (part.duration_s, part.estimated) == (0.5, True)
    assert torch.equal(part.values, timing.envelope.values[40:90])


@pytest.mark.parametrize("made", [
    lambda: Timing(Envelope(torch.zeros(2, 10)), TIMES), lambda: Timing(Envelope(torch.zeros(10), rate=50.0), TIMES),
    lambda: Timing(Envelope(torch.zeros(10), recipe=CAUSAL), TIMES),
    lambda: Timing(Envelope(torch.zeros(10)), TIMES.flip(0)), lambda: Timing(Envelope(torch.zeros(10)), TIMES - 1),
    lambda: Timing.of_envelope(torch.full((10,), 1.5)), lambda: Timing.of_envelope(torch.zeros(2, 10)),
    lambda: Timing.of_hits(TIMES, 3.0, STRENGTHS[:2]),
])
def test_what_is_no_timing_is_refused(made):
    with pytest.raises(ConditionError):
        made()
