import json

import pytest

from postsync.errors import ConditionError
from postsync.generation import generate
from postsync.generation.options import Options, OptionValues


def test_options_come_back_from_json_as_they_were():
    options = Options(prompt="rain", seed=3, cues=((0.0, 1.5, "hail"),), guidance_scale=2, sound="mix", mix_db=-6.5)
    assert Options.from_json(json.loads(json.dumps(options.to_json()))) == options


@pytest.mark.parametrize(("change", "word"), [
    ({"seed": -2}, "seed is -2"), ({"seed": 1.5}, "seed"), ({"seed": True}, "seed"),
    ({"guidance_scale": float("nan")}, "guidance_scale"), ({"guidance_scale": 51}, "between 0 and 50"),
    ({"control_scale": -0.1}, "control_scale"), ({"num_inference_steps": 0}, "between 1 and 1000"),
    ({"offset_ms": float("inf")}, "offset_ms"), ({"start_s": -1.0}, "start_s"), ({"duration_s": 0.0}, "duration_s"),
    ({"mix_db": 100.0}, "mix_db"), ({"timing": "guess"}, "predicted or motion"),
    ({"sound": "loud"}, "'replace', 'mix' or 'keep'"),
    ({"dtype": "int3"}, "'float32' or 'bfloat16'"), ({"prompt": 3}, "prompt"), ({"cues": ((0.0, "a", "b"),)}, "cues"),
    ({"envelope": "e.csv", "onsets": "o.csv"}, "one of them"), ({"timing": "motion", "onsets": "o.csv"}, "one of them"),
])
def test_a_value_out_of_range_is_named(change, word):
    with pytest.raises(ConditionError, match=word):
        Options(**change)
    with pytest.raises(ConditionError, match=word):
        Options().replaced(change)


@pytest.mark.parametrize("data", [[], {"tempo": 120}, {"cues": "rain"}, {"cues": [1]}, {"seed": None}])
def test_json_that_holds_no_options_is_refused(data):
    with pytest.raises(ConditionError):
        Options.from_json(data)


def test_editors_are_shown_every_option():
    named = {"prompt", "seed", "envelope", "guides"}  # arguments of their own
    assert set(OptionValues.__annotations__) == set(Options.model_fields) - named
    listed = generate.__doc__ + " system preset parts device dtype settings"
    assert all(name in listed for name in OptionValues.__annotations__)
