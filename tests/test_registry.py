"""The registry: complete, honest about what is not there, quick to import, and open to packages of others."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import torch

import postsync
from postsync import registry
from postsync.errors import ConditionError, PostsyncError, WeightsError
from postsync.protocols.pipeline import Origin
from postsync.protocols.system import Option, checked_options, read_pairs

ROOT = Path(postsync.__file__).parent


@pytest.fixture
def collected() -> Iterator[None]:
    """The tables are as they were after the test."""
    yield
    registry.collect()


def test_the_five_systems_are_listed_with_their_papers() -> None:
    assert {"foleygram", "mdg", "mgaudio", "vatt", "sounding_video"} <= set(registry.SYSTEMS)
    assert {"2510.05829", "2509.24550", "2510.24103", "2411.05679", "2409.17550"} <= {
        s.arxiv for s in registry.SYSTEMS.values()}
    assert all(s.public and s.licences for s in registry.SYSTEMS.values())
    assert registry.default_system() == "foleygram"


def test_a_system_is_available_with_a_preset_and_its_limits_or_not_at_all() -> None:
    for system in registry.SYSTEMS.values():
        assert system.available == bool(system.presets) == bool(system.limits), system.name


def test_planned_system_says_not_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    planned = replace(registry.system("vatt"), name="planned", pipeline=None)
    monkeypatch.setitem(registry.SYSTEMS, "planned", planned)
    with pytest.raises(PostsyncError, match=r"not available in this version yet; use foleygram"):
        registry.load_pipeline("planned")
    assert "planned" not in registry.captioning_systems()


def test_unknown_names_list_the_known(tmp_path: Path) -> None:
    with pytest.raises(PostsyncError, match=r"no system 'foley'.*foleygram"):
        registry.load_pipeline("foley")
    with pytest.raises(PostsyncError, match=r"no preset 'huge'.*mini"):
        registry.load_pipeline("foleygram", "huge")
    (tmp_path / "model_index.json").write_text('{"_class_name": "FoleyGRAMPipeline"}')
    with pytest.raises(PostsyncError, match="another system's pipeline, not of MGAudioPipeline"):
        registry.load_pipeline("mgaudio", str(tmp_path))
    with pytest.raises(ConditionError, match=r"mgaudio has no part vocoder; its parts are cavp, codec"):
        registry.load_pipeline("mgaudio", parts={"vocoder": tmp_path})
    with pytest.raises(ConditionError, match="no device 'abacus'"):
        registry.load_pipeline(device="abacus")


@pytest.mark.parametrize("device", ["cuda", "cuda:0", "cuda:first", torch.device("cuda")])
def test_a_device_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch, device: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConditionError, match=r"no device 'cuda.*choose one of cpu"):
        postsync.load(device=device)


@pytest.mark.parametrize("spoil", ["weights", "config", "index", "missing"])
def test_a_damaged_folder_of_a_pipeline_is_one_sentence(tmp_path: Path, spoil: str, pipe) -> None:
    pipe.save_pretrained(tmp_path)
    path = tmp_path / {"weights": "transformer/diffusion_pytorch_model.safetensors", "index": "model_index.json",
                       "config": "transformer/config.json", "missing": "transformer/config.json"}[spoil]
    if spoil == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-100] if spoil == "weights" else b"{\xff")
    with pytest.raises(WeightsError, match="damaged or missing"):
        registry.load_pipeline("foleygram", str(tmp_path))
    with pytest.raises(ConditionError, match="float32 or bfloat16"):
        registry.load_pipeline(dtype="int3")
    with pytest.raises(PostsyncError, match=r"'vocoda'.*vocoder"):
        registry.trainable("vocoda")
    with pytest.raises(PostsyncError, match=r"no preset 'huge' to train"):
        registry.load_objective("vae", "huge")
    with pytest.raises(ConditionError, match="vae has no part codec"):
        registry.load_objective("vae", "tiny", {"codec": tmp_path})
    with pytest.raises(ConditionError, match="no such folder"):
        registry.load_objective("mgaudio", "mini", {"codec": tmp_path / "absent"})
    (tmp_path / "empty").mkdir()
    with pytest.raises(PostsyncError, match="holds no saved pipeline"):
        registry.load_objective("foleygram_control", parts={"base": tmp_path / "empty"})
    with pytest.raises(ConditionError, match="vae has no option width; it has none"):
        registry.load_objective("vae", "tiny", options={"width": "3"})


def test_loaded_weights_ask_for_no_gradients() -> None:
    for system in registry.SYSTEMS.values():
        for preset in system.presets:
            pipeline = registry.load_pipeline(system.name, preset)
            assert (pipeline.system, pipeline.origin) == (system.name, Origin(preset))
            modules = [part for part in pipeline.components.values() if isinstance(part, torch.nn.Module)]
            assert modules
            assert not any(p.requires_grad for module in modules for p in module.parameters())
            assert not any(module.training for module in modules)


@pytest.mark.parametrize("name", registry.TRAINABLES)
def test_objectives_can_be_imported(name: str) -> None:
    assert callable(registry.resolve(registry.TRAINABLES[name].objective))


def test_import_needs_no_torch() -> None:
    code = "import sys, postsync.registry; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_no_general_file_names_a_system() -> None:
    general = [path for path in ROOT.rglob("*.py") if path.relative_to(ROOT).parts[0] != "systems"
               and path != ROOT / "registry.py"]
    named = {str(path.relative_to(ROOT)): name for path in general for name in registry.SYSTEMS
             if any(word in path.read_text(encoding="utf-8") for word in (f'"{name}"', f"systems.{name}"))}
    for file in ("__init__.py", "suites.py"):  # suites of metrics are named after the papers whose tables they print
        named.pop(f"evaluation/{file}", None)
    assert named == {}


def test_a_package_that_cannot_be_used_is_named_and_the_rest_works(collected: None, tmp_path: Path,
                                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_system.py").write_text("import no_such_module\n")
    (tmp_path / "twice_system.py").write_text("from postsync.systems.foleygram import SYSTEM\n")
    monkeypatch.syspath_prepend(tmp_path)
    registry.collect(others=[EntryPoint("b", "broken_system", registry.ENTRY_POINT),
                             EntryPoint("t", "twice_system", registry.ENTRY_POINT)])
    assert "no_such_module" in registry.BROKEN["broken_system"]
    assert "'foleygram' is taken" in registry.BROKEN["twice_system"]
    assert registry.SYSTEMS["foleygram"].available


OPTIONS = {"eta": Option(float, "noise", 0.0, low=0, high=1), "steps": Option(int, "steps", low=1, unit="steps"),
           "solver": Option(str, "which", choices=("euler", "heun")), "wet": Option(bool, "reverberation")}


def test_options_are_read_from_text_and_from_values() -> None:
    assert checked_options({"eta": "0.5", "steps": "3", "solver": "heun", "wet": "yes"}, OPTIONS, "x") == {
        "eta": 0.5, "steps": 3, "solver": "heun", "wet": True}
    values = {"eta": 1, "steps": 3.0, "wet": False}
    assert checked_options(values, OPTIONS, "x") == {"eta": 1.0, "steps": 3, "wet": False}


@pytest.mark.parametrize(("name", "value", "word"), [
    ("eta", "2", "a number from 0 to 1"), ("eta", "nan", "a number"), ("eta", True, "a number"),
    ("steps", "0", "1 or more steps"), ("steps", "2.5", "whole number"), ("solver", "rk4", "euler or heun"),
    ("wet", "maybe", "true or false"), ("tilt", "1", "x has no option tilt; its options are eta, solver")])
def test_a_value_out_of_range_is_named(name: str, value: object, word: str) -> None:
    with pytest.raises(ConditionError, match=word):
        checked_options({name: value}, OPTIONS, "x")


@pytest.mark.parametrize("pairs", [["eta"], ["=3"], ["eta="], ["eta=1", "eta=2"]])
def test_pairs_of_another_form_are_refused(pairs: list[str]) -> None:
    with pytest.raises(ConditionError, match="--set NAME=VALUE"):
        read_pairs(pairs, "--set NAME=VALUE")
    assert read_pairs(["a=1", "b = x=y "], "--set NAME=VALUE") == {"a": "1", "b": "x=y"}
