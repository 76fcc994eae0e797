"""Published layouts: what is taken, what is left out, what is refused."""

import pytest
import torch
from torch import nn

from postsync.errors import WeightsError
from postsync.weights.layout import build, readable, rename

TABLE = ((r"^module\.", ""), (r"^fc\.", "linear."))
IGNORED = ((r"(module\.)?old\.", "an older head"),)


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, 1)
        self.norm = nn.BatchNorm1d(2)


@pytest.fixture
def state():
    network = Network()
    network.norm.num_batches_tracked += 7
    return {f"module.{k}".replace("linear", "fc"): v.half() if v.is_floating_point() else v
            for k, v in network.state_dict().items()}


def test_keys_are_taken_or_left_out_with_the_reason(state):
    ours, skipped = rename({**state, "old.weight": torch.zeros(1)}, TABLE, IGNORED)
    assert ours.keys() == Network().state_dict().keys()
    assert skipped == {"old.weight": "an older head"}
    assert ours["linear.weight"].dtype == torch.float32
    assert ours["norm.num_batches_tracked"].dtype == torch.int64


def test_the_network_holds_the_values_and_is_not_training(state):
    ours, _ = rename(state, TABLE)
    network = build(Network, ours, "a network")
    assert not network.training
    assert network.linear.weight.requires_grad
    assert all(torch.equal(v, ours[k]) for k, v in network.state_dict().items())


def test_what_does_not_fit_is_named(state):
    ours, _ = rename(state, TABLE)
    with pytest.raises(WeightsError, match=r"of a network: 1 tensors differ, first 'old\.weight' \(file \(1,\), net"):
        build(Network, {**ours, "old.weight": torch.zeros(1)}, "a network")
    with pytest.raises(WeightsError, match=r"first 'norm\.weight' \(file none, network \(2,\)\)"):
        build(Network, {k: v for k, v in ours.items() if k != "norm.weight"}, "a network")
    with pytest.raises(WeightsError, match=r"first 'linear\.bias' \(file \(4,\), network \(1,\)\)"):
        build(Network, {**ours, "linear.bias": torch.zeros(4)}, "a network")
    with pytest.raises(WeightsError, match="twice"):
        rename({**state, "linear.bias": torch.zeros(1)}, TABLE)


def test_a_folder_that_is_not_there_is_refused_before_a_library_looks_for_it_elsewhere(tmp_path):
    asked = []
    with (pytest.raises(WeightsError, match=r"nowhere holds no horn: there is no such folder; name one\."),
          readable(tmp_path / "nowhere", "horn", "name one.")):
        asked.append("a hub")
    assert not asked
    with (pytest.raises(WeightsError, match=r"holds no horn \(no file\); name one\."),
          readable(tmp_path, "horn", "name one.")):
        raise OSError("no file")
