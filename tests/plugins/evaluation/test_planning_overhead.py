"""The benchmark of planners compares what does the same."""

from __future__ import annotations

import torch

from cosmos_sdk_evaluation.planning_overhead import (
    Stepping,
    Unrolling,
    network,
    ours,
    planning_overhead,
)


def test_a_backend_that_unrolls_and_one_that_steps_are_planned_alike():
    torch.manual_seed(0)
    net = network()
    plans = [ours("cem", kind(net), num_iterations=3)() for kind in (Unrolling, Stepping)]
    torch.testing.assert_close(plans[0].actions, plans[1].actions)
    torch.testing.assert_close(plans[0].trace, plans[1].trace)


def test_every_planner_is_measured_beside_the_plain_loop():
    results = {result.name: result for result in planning_overhead(repeats=1)}
    times = [name for name, result in results.items() if result.unit == "ms"]
    assert "planning a network, cem" in times
    assert "planning a network, cem, a backend that only steps" in times
    assert results["planning a network, plain loop, of the plain loop"].value == 1
    assert len(results) == 3 * len(times)
