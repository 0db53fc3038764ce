"""`check_conditioner`: a control signal on its own, carried by a small built-in world."""

from __future__ import annotations

import torch
from torch import Tensor

from cosmos_sdk.protocols import Conditioner
from cosmos_sdk.state import Masked, Tensors
from cosmos_sdk.testing.backend import FIRST, ROWS
from cosmos_sdk.testing.conformance import check, close, demand, same_layout
from cosmos_sdk.testing.learning import losses_are_per_row, present
from cosmos_sdk.testing.small_worlds import echo_world
from cosmos_sdk.testing.steering import absence_is_a_mask, perturb, signals_change_the_step
from cosmos_sdk.testing.trial import ROWS as NUM_ROWS
from cosmos_sdk.testing.trial import Trial, make_trial, sample

_NUM_CHUNKS = 3


def check_conditioner(conditioner: Conditioner, *, chunk: int = 1, seed: int = 0) -> None:
    """Checks the properties that a conditioner has in every world: 1 to 10, 12 and 13.

    Args:
        conditioner: as its factory makes it.
        chunk: frames per predict of the backends it is meant for; tokens of one chunk may see each other's signals.
        seed: of signals, and of a little noise on the weights.

    Raises:
        ConformanceError: the first property that does not hold.
    """
    name = "signal"
    trial = make_trial(echo_world(name, conditioner, chunk), None, seed)
    with torch.no_grad():
        tokens_keep_their_shape(trial, name)
        for checked in (*FIRST, *ROWS, signals_change_the_step):
            checked(trial)
        tokens_know_no_future(trial, name)
        absent_signals_give_no_token(trial, name)
        absence_is_a_mask(trial)
    losses_are_per_row(trial)


def _given(trial: Trial, name: str, num_frames: int) -> tuple[Masked, Masked]:
    """A start signal and signals of some frames, present everywhere, as the world would hand them over."""
    conditioner = trial.world.conditioners[name]

    def draw(start: bool) -> Masked:
        space = conditioner.start_space if start else conditioner.space
        lead = (NUM_ROWS,) if start else (NUM_ROWS, num_frames)
        if space is None:
            return absent(
                Masked(
                    torch.zeros(*lead, 0, dtype=trial.world.dtype),
                    torch.ones(lead, dtype=torch.bool),
                )
            )
        values = sample(space, lead, trial.random)
        return present(
            values.to(trial.world.dtype if values.is_floating_point() else torch.int64), len(lead)
        )

    return draw(True), draw(False)


def absent(signal: Masked) -> Masked:
    """The same signal, nowhere given."""
    return Masked(signal.values, torch.zeros_like(signal.mask)).zeroed()


def _embed(
    trial: Trial, name: str, signal: Masked, memory: Tensors, first: int = 1
) -> tuple[dict[str, Tensor], Tensors]:
    time = (first + torch.arange(signal.mask.shape[1])).expand(NUM_ROWS, -1)
    tokens, after = trial.world.conditioners[name].embed(signal, time, memory)
    tokens = tokens.zeroed()
    return {"tokens/values": tokens.values, "tokens/mask": tokens.mask}, after


@check(
    1,
    "Usual cause: an axis left out (one view and one token still have their axes: [:, :, None, None]), a mask with "
    "the axis D, or a memory that `start` makes with another shape than `embed` does.",
)
def tokens_keep_their_shape(trial: Trial, name: str) -> None:
    """1: tokens are (B, K|1, V|1, N, D), their mask lacks D, and memory keeps its layout."""
    conditioner, num_frames = trial.world.conditioners[name], trial.world.backend.chunk
    start, signal = _given(trial, name, num_frames)
    memory = conditioner.start(start)
    tokens, after = _embed(trial, name, signal, memory)
    shape, mask = tuple(tokens["tokens/values"].shape), tokens["tokens/mask"]
    wanted = (NUM_ROWS, f"{num_frames}|1", "V|1", conditioner.num_tokens, conditioner.width)
    fits = (
        len(shape) == 5
        and shape[0] == NUM_ROWS
        and shape[1] in (1, num_frames)
        and shape[3:] == wanted[3:]
    )
    demand(fits, f"tokens are {shape}; expected {wanted}.")
    demand(
        tuple(mask.shape) == shape[:4],
        f"the mask of the tokens is {tuple(mask.shape)}; expected {shape[:4]}.",
    )
    demand(
        mask.dtype == torch.bool, f"the mask of the tokens is {mask.dtype}; expected torch.bool."
    )
    same_layout(after, memory, f"in the memory of {name} after embed")


@check(
    10,
    "Usual cause: a reference taken over all the frames of a call, such as a mean, a difference to the next frame or "
    "the last pose. What earlier frames leave behind belongs in memory; training embeds whole sequences in one call.",
)
def tokens_know_no_future(trial: Trial, name: str) -> None:
    """10: signals of a chunk change no token before it, and a sequence embedded at once is one embedded in chunks."""
    conditioner, chunk = trial.world.conditioners[name], trial.world.backend.chunk
    if conditioner.space is None:
        return
    start, signal = _given(trial, name, _NUM_CHUNKS * chunk)
    memory = conditioner.start(start)
    whole, _ = _embed(trial, name, signal, memory)
    if whole["tokens/values"].shape[1] == 1:
        return
    last = slice((_NUM_CHUNKS - 1) * chunk, None)
    values = signal.values.clone()
    values[:, last] = perturb(values[:, last], conditioner.space)
    other, _ = _embed(trial, name, Masked(values, signal.mask), memory)
    early = {n: v[:, : last.start] for n, v in whole.items()}
    close(
        {n: v[:, : last.start] for n, v in other.items()},
        early,
        "before the chunk whose signals were changed",
    )
    for c in range(_NUM_CHUNKS):
        part = slice(c * chunk, (c + 1) * chunk)
        piece = Masked(signal.values[:, part], signal.mask[:, part])
        tokens, memory = _embed(trial, name, piece, memory, 1 + part.start)
        close(
            tokens,
            {n: v[:, part] for n, v in whole.items()},
            f"of chunk {c}, embedded chunk by chunk",
        )


@check(
    12,
    "Usual cause: a mask of ones instead of the signal's own. Return Masked(tokens, signal.mask[:, :, None, None]): "
    "what stands in for an absent token is the backend's business, which has a learned null.",
)
def absent_signals_give_no_token(trial: Trial, name: str) -> None:
    """12: no signal, no token; a signal everywhere, some token in every frame."""
    conditioner = trial.world.conditioners[name]
    start, signal = _given(trial, name, trial.world.backend.chunk)
    tokens, _ = _embed(trial, name, absent(signal), conditioner.start(absent(start)))
    demand(
        not bool(tokens["tokens/mask"].any()),
        "tokens exist where neither start nor frame signals were given.",
    )
    tokens, _ = _embed(trial, name, signal, conditioner.start(start))
    heard = bool(tokens["tokens/mask"].flatten(2).any(2).all())
    demand(heard or conditioner.space is None, "no token exists in a frame whose signal was given.")
