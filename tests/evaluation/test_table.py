"""What people read of an evaluation."""

import io

from rich.console import Console

from postsync.evaluation.table import figure, print_comparison, print_evaluation, span


def document(**changes):
    metric = {"name": "Onset-F1@50ms", "value": 0.81234, "higher_is_better": True, "unit": None, "count": 37,
              "interval": [0.7, 0.9], "extractor": None, "settings": {}, "note": "[a] note"}
    sides = {"generated": {"path": "made", "count": 38}, "reference": {"path": "real", "count": 40}}
    return {"suite": "scenes", "seed": 3, "protocol": {"duration_s": 30.0}, **sides, "metrics": [metric],
            "not_computed": [], "missing": []} | changes


def printed(show, what) -> str:
    console = Console(file=io.StringIO(), width=100)
    show(what, console)
    return console.file.getvalue()


def test_the_table_says_what_how_many_and_how_sure():
    said = printed(print_evaluation, document())
    for part in ("made (38 clips) against real (40 clips)", "suite scenes", "seed 3", "Onset-F1@50ms", "0.812",
                 "0.700 .. 0.900", "37", "higher", "Onset-F1@50ms: [a] note"):
        assert part in said


def test_units_stand_beside_names_that_do_not_end_in_them():
    metric = document()["metrics"][0]
    rows = [metric | {"name": "Onset-lag-ms", "unit": "ms"}, metric | {"name": "KL-PANNs", "unit": "nat"}]
    said = printed(print_evaluation, document(metrics=rows))
    assert "KL-PANNs (nat)" in said
    assert "(ms)" not in said


def test_like_troubles_are_told_together_with_a_few_names():
    missing = [{"clip_id": f"c{k}", "side": "generated", "used": False, "reason": f"{k} of 9 samples are NaN"}
               for k in range(5)]
    absent = [{"name": name, "reason": "the weights of panns are not here"} for name in ("FD-PANNs", "KL-PANNs")]
    said = printed(print_evaluation, document(missing=missing, not_computed=absent))
    assert "generated: 5 x # of # samples are NaN (c0, c1, c2, ...)" in said
    assert "generated: 1 x 0 of 9 samples are NaN (c0)" in printed(print_evaluation, document(missing=missing[:1]))
    assert "not computed: FD-PANNs, KL-PANNs: the weights of panns are not here" in said


def test_clips_left_out_are_told_by_metric():
    missing = [{"clip_id": f"c{k}", "side": "generated", "used": True,
                "reason": f"synchformer: {k} segments: skipped by DeSync-Synchformer"} for k in (3, 4)]
    assert "generated: 2 x skipped by DeSync-Synchformer (c3, c4)" in printed(
        print_evaluation, document(missing=missing))


def test_differences_from_the_first_are_marked_where_they_are_sure():
    row = {"name": "Onset-F1@50ms", "unit": None, "higher_is_better": True, "values": [0.8, 0.5, None],
           "differences": [{"first": 0, "second": 1, "count": 30, "difference": 0.3, "interval": [0.1, 0.4],
                            "first_is_better": 1.0}]}
    said = printed(print_comparison, {"systems": [document(), document(), document()], "comparison": [row]})
    assert "A - B" in said
    assert "0.300 (0.100 .. 0.400)*" in said
    assert "C: made" in said


def test_figures_keep_their_digits_small_and_large():
    assert [figure(v) for v in (None, 0.01234, -3.0, 29.04, 12345.6)] == ["-", "0.012", "-3.000", "29.0", "1.235e+04"]
    assert span(None) == ""
