"""The cache, token by token, is one banded pass; and frames may be made in parallel on the same weights."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from cosmos_sdk.errors import SamplingError
from cosmos_sdk.state import Control
from cosmos_sdk.world import WorldModel
from cosmos_sdk_autoregressive import decoding
from cosmos_sdk_autoregressive.decoding import Canvas, holes_left
from cosmos_sdk_autoregressive.given import Given
from cosmos_sdk_autoregressive.kv_cache import windows
from cosmos_sdk_autoregressive.sampling import AutoregressiveSampling
from toys.tokens import actions_of, backend_of, first_states, random_actions, small_world

FRAMES, HALF, ROWS = 200, 90, 3


@pytest.fixture
def seen_logits(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """The logits of every token that is drawn, in order."""
    seen: list[Tensor] = []
    plain = decoding.choose

    def spy(logits: Tensor, options: AutoregressiveSampling, uniform: Tensor) -> Tensor:
        seen.append(logits)
        return plain(logits, options, uniform)

    monkeypatch.setattr(decoding, "choose", spy)
    return seen


def one_pass(world: WorldModel, context: Tensor, made: Tensor, actions: Tensor) -> Tensor:
    """Logits (B, n, N, V) of the made frames, in one pass over all since reset. No action led to the context."""
    latents = torch.cat((context, made), 1)
    control = actions_of(world, torch.cat((torch.zeros(*context.shape[:2], 2), actions), 1))
    cond = control.cond["action"]
    cond.mask[:, : context.shape[1]] = False
    with torch.no_grad():
        return backend_of(world).logits(latents, control)[:, context.shape[1] :]


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.float64, 1e-10)], ids=["fp32", "fp64"]
)
def test_two_hundred_frames_with_a_cache_are_one_pass_over_all_since_reset(
    dtype, tolerance, seen_logits
):
    """66 windows of 3 frames, greedy; row 1 is reset on the way and starts over."""
    world = small_world(spread=0.6).using(temperature=0.0).to(dtype)
    actions = random_actions(ROWS, FRAMES)
    state, late = first_states(world, ROWS), first_states(world, 1, seed=1)
    context = state.latents
    made: list[Tensor] = []
    with torch.no_grad():
        for k in range(FRAMES):
            if k == HALF:
                state = state.put(torch.tensor([1]), late)
            state, _ = world.step(state, {"action": actions[:, k : k + 1]})
            made.append(state.latents[:, -1])
    tokens = torch.stack(made, 1)
    logits = torch.stack(seen_logits, 1).unflatten(1, (FRAMES, -1))  # (B, F, N, V)
    through = torch.tensor([0, 2])
    whole = one_pass(world, context[through], tokens[through], actions[through].to(dtype))
    torch.testing.assert_close(logits[through], whole, atol=tolerance, rtol=0)
    again = one_pass(world, late.latents, tokens[1:2, HALF:], actions[1:2, HALF:].to(dtype))
    torch.testing.assert_close(logits[1:2, HALF:], again, atol=tolerance, rtol=0)
    if dtype == torch.float64:
        assert torch.equal(whole.argmax(-1), tokens[through])
        assert torch.equal(again.argmax(-1), tokens[1:2, HALF:])
    assert len(tokens.flatten(0, 1).unique(dim=0)) > 10  # it is no standstill that is compared


def test_a_memory_of_three_frames_is_not_reached_by_what_layers_cannot_carry():
    """With one layer a frame sees its memory alone; the fourth frame before it is out of reach."""
    world = small_world(num_layers=1, recent=0).double()
    actions = random_actions(1, 8).double()
    latents = torch.randint(0, 8, (1, 8, 4))
    changed = latents.clone()
    changed[:, 2] = (changed[:, 2] + 1) % 8
    with torch.no_grad():
        base, other = (
            backend_of(world).logits(x, actions_of(world, actions)) for x in (latents, changed)
        )
    reached = ~(base == other).flatten(2).all(2)[0]
    assert reached.tolist() == [False, False, True, True, True, True, False, False]


def test_windows_are_the_frames_before_each_frame():
    frames = torch.arange(1.0, 5.0).repeat_interleave(2).view(1, 1, 8, 1)  # 4 frames of 2 positions
    keys, _ = windows((frames, frames), 2, 2)
    assert keys[:, 0, ::2, 0].tolist() == [[0, 0], [0, 1], [1, 2], [2, 3]]


@pytest.mark.parametrize("num_steps", range(1, 9))
def test_one_set_of_weights_decodes_in_any_number_of_parallel_passes(num_steps):
    world = small_world(side=4)
    state = first_states(world, 2)
    action = {"action": random_actions(2, 1)}
    after = world.using(num_steps=num_steps).step(state, action)[0]
    assert after.memory["backend"]["passes"].tolist() == [num_steps + 1] * 2
    assert world.step(state, action)[0].memory["backend"]["passes"].tolist() == [17] * 2
    assert not torch.equal(after.latents, state.latents)


@pytest.mark.parametrize("options", [{"num_steps": 3}, {"medusa": 2}, {}], ids=str)
def test_however_a_frame_was_made_the_memory_is_that_of_having_observed_it(options):
    """A Medusa pass and a parallel one leave what the strict pass over the finished frame leaves."""
    world = small_world(medusa=2).double().using(**options)
    state = first_states(world, 3)
    actions = random_actions(3, 1).double()
    with torch.no_grad():
        after, values = world.step(state, {"action": actions})
        seen, _ = backend_of(world).score(state, actions_of(world, actions), after.latents[:, -1:])
    for name, tensor in seen.memory.items():
        if name != "passes":
            torch.testing.assert_close(after.memory["backend"][name], tensor)
    torch.testing.assert_close(after.features, seen.features)
    torch.testing.assert_close(values["uncertainty"], seen.features[..., -1])


def given_of(latents: Tensor, control: Control) -> tuple[Tensor, Given]:
    """What the backend makes of latents that share no tokens."""
    return latents, Given.of(control, latents[:, 0, :0], latents.shape[1], 1)


def test_holes_are_filled_in_the_world_as_they_are_in_training():
    """A parallel pass over a frame, given the cache, is the last frame of the training pass over the clip."""
    world = small_world().double()
    backend = backend_of(world)
    predictor, latents = backend.predictor, torch.randint(0, 8, (2, 7, 4))
    unknown, actions = torch.rand(2, 7, 4) < 0.6, random_actions(2, 7).double()
    state = world.start(latents[:, :2], {}, torch.arange(2), {"action": actions[:, :2]})
    with torch.no_grad():
        for k in range(2, 7):
            clip, past = given_of(latents[:, : k + 1], actions_of(world, actions[:, : k + 1]))
            _, entries = predictor.whole(predictor.trunk, clip, past)
            holes = unknown[:, : k + 1]
            trained = predictor.beside(clip, past, clip, entries, holes)[:, -1, 1:]
            _, now = given_of(state.latents[:, -1:], actions_of(world, actions[:, k : k + 1]))
            memory, time = state.memory["backend"], state.time + 1
            canvas = Canvas(predictor, predictor.trunk, memory, state.latents, now, time)
            torch.testing.assert_close(canvas.fill(latents[:, k], unknown[:, k]), trained)
            signals = {"action": actions[:, k : k + 1]}
            state, _, _ = world.score(state, signals, latents[:, k : k + 1])


@pytest.mark.parametrize("options", [{}, {"medusa": 2}, {"num_steps": 2}], ids=str)
def test_a_state_that_was_imagined_may_be_trained_on(options):
    """Decoding runs without autograd, and nothing it returns is barred from it."""
    world = small_world(medusa=2).using(**options)
    after, _ = world.step(first_states(world, 2), {"action": random_actions(2, 1)})
    tensors = [after.latents, after.features, *after.memory["backend"].values()]
    assert not any(tensor.is_inference() for tensor in tensors)


def test_fewer_holes_are_left_after_every_pass_and_none_after_the_last():
    for steps in range(1, 9):
        left = [holes_left(16, k, steps) for k in range(1, steps + 1)]
        assert left == sorted(left, reverse=True)
        assert left[-1] == 0
    assert [holes_left(16, k, 4) for k in range(1, 5)] == [14, 11, 6, 0]


def test_parallel_decoding_that_was_not_trained_is_refused():
    with pytest.raises(SamplingError, match="masked_weight is 0"):
        small_world(masked_weight=0.0).using(num_steps=2)
