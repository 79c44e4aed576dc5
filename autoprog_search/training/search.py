"""A run's one-shot searches: whose turn it is at each supernet step, and what the candidates' losses and costs are."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from math import log

import torch

from autoprog_search.choosing import Method
from autoprog_search.errors import ConfigError, RunFailedError
from autoprog_search.growth.elastic import ElasticModel
from autoprog_search.oneshot import estimate as oneshot
from autoprog_search.oneshot.draws import shuffled
from autoprog_search.oneshot.outlook import Outlook
from autoprog_search.oneshot.score import SCORES
from autoprog_search.randomness import derive
from autoprog_search.schedule import SubNetwork
from autoprog_search.training.compilation import eagerly
from autoprog_search.training.optim import autocast
from autoprog_search.training.profile import StepProfile
from autoprog_search.training.run import Run
from autoprog_search.training.spec import check_search, check_target
from autoprog_search.training.state import RunState, StageRecord

Candidates = tuple[SubNetwork, ...]


class Search:
    """The searches of one run. It keeps no state: what a search has found so far is the `RunState`'s.

    Args:
        profile: seconds of a training step per sub-network; needed where `growth.search.score_cost` is `seconds`.

    Attributes:
        outlook: what the run may still cost.

    Raises:
        ConfigError: `method` searches, and cannot under these settings.
    """

    def __init__(self, run: Run, method: Method, profile: StepProfile | None) -> None:
        spec, growth = run.spec, run.spec.growth
        self._spec, self._cost, self._data, self._device, self._profile = spec, run.cost, run.data, run.device, profile
        self._world, self._until_asked = run.world, run.until_asked
        self.outlook = Outlook(
            spec.space,
            spec.part_steps,
            self.step_flops,
            self._estimate_flops,
            search_share=growth.search.share,
            force_growth=growth.force_growth,
        )
        check_search(spec, method.needs_estimates)
        if not any(map(method.needs_estimates, range(1, len(spec.part_steps)))):
            return
        if growth.target_speedup is not None and spec.space.clock == "stages":
            check_target(self.outlook, growth.target_speedup)
        if growth.search.score_cost == "seconds" and profile is None:
            raise ConfigError("growth.search, score_cost: 'seconds' needs a profile of the step times")

    def steps(self, state: RunState, lambda_k: Candidates) -> int:
        """How many steps of the stage that opens train the supernet."""
        share = self._spec.growth.search.share
        return oneshot.search_steps(state.stage, self._spec.searchable(state.part), len(lambda_k), share)

    def points(self, state: RunState, lambda_k: Candidates) -> list[int]:
        """After how many of them the candidates are evaluated, ascending."""
        return sorted(oneshot.evaluation_points(self.steps(state, lambda_k), self._spec.growth.search.points))

    def drawn(self, stage: int, lambda_k: Candidates, begin: int) -> Callable[[int], SubNetwork]:
        """Who trains at a step of the run, where the stage begins at step `begin`."""
        seed = derive(self._spec.seed, "draw", stage)
        return lambda step: shuffled(lambda_k, seed, step - begin)

    def begin(self, state: RunState, network: ElasticModel, lambda_k: Candidates, previous: SubNetwork | None) -> None:
        """Before anything grows, note the loss that the score measures from, if it does.

        Args:
            network: still the sub-network of the stage before, with the weights that are to be judged.
            previous: that sub-network.
        """
        if SCORES[self._spec.growth.search.score].decrease != "stage":
            return
        if previous is None:
            state.reference_loss = log(self._data.num_classes)
            return
        standing_for_it = self._standing_for((*lambda_k, previous))[-1:]
        _, count = self._evaluation(state.part, lambda_k)
        state.reference_loss = float(self._losses(state, network, standing_for_it, count).mean())

    def estimate(self, state: RunState, network: ElasticModel, lambda_k: Candidates) -> None:
        """Evaluate every candidate once more, and add what came of it to the state.

        Args:
            network: the supernet, with the weights that are to be judged.

        Raises:
            RunFailedError: a loss is not finite.
        """
        networks, count = self._evaluation(state.part, lambda_k)
        losses = self._losses(state, network, networks, count)
        state.search_points += 1
        state.search_means.append(losses.mean(dim=1).tolist())
        state.search = losses if state.search is None else state.search + losses

    def _losses(
        self, state: RunState, network: ElasticModel, networks: Sequence[SubNetwork], count: int
    ) -> torch.Tensor:
        """Of sub-networks of `network` on the stage's images, (networks, images); what it costs goes to the search."""
        start = time.perf_counter()
        seed = derive(self._spec.seed, "estimate", state.stage)
        recipe, world = self._spec.recipe, self._world
        batches = self._data.train_subset(count, seed, world.share(recipe.batch_size), world.part)
        with eagerly(recipe), autocast(recipe, self._device):
            losses = world.whole(oneshot.network_losses(network, networks, self._until_asked(batches)), count)
        if not bool(losses.isfinite().all()):
            steps = self._spec.steps
            raise RunFailedError(f"estimate: not finite at step {state.step} of {steps}; lower recipe.lr")
        state.search_flops += oneshot.estimation_flops(self._cost, networks, count)
        state.search_seconds += time.perf_counter() - start
        return losses

    def record(self, state: RunState, lambda_k: Candidates) -> StageRecord:
        """What a search that is over has found; `chosen` is still the supernet."""
        assert state.search is not None, "every search ends with an evaluation"
        losses, errors = zip(*oneshot.summarise(state.search / state.search_points), strict=True)
        return StageRecord(
            chosen=oneshot.supernet_of(lambda_k),
            candidates=lambda_k,
            losses=losses,
            loss_ses=errors,
            costs=tuple(self._score_cost(c) for c in lambda_k),
            searched_steps=self.steps(state, lambda_k),
            decreases=self._decreases(state, losses),
        )

    def _decreases(self, state: RunState, losses: Sequence[float]) -> tuple[float, ...]:
        """By how much each candidate's loss fell, as the score measures it."""
        measured = SCORES[self._spec.growth.search.score].decrease
        if measured == "stage":
            assert state.reference_loss is not None, "noted when the stage opened"
            return tuple(state.reference_loss - loss for loss in losses)
        if measured == "search":
            return tuple(
                first - last for first, last in zip(state.search_means[0], state.search_means[-1], strict=True)
            )
        return ()

    def step_flops(self, sub_network: SubNetwork) -> float:
        """FLOPs of a training step."""
        return float(self._cost.step_flops(sub_network, self._spec.recipe.batch_size))

    def _score_cost(self, candidate: SubNetwork) -> float:
        if self._spec.growth.search.score_cost == "flops":
            return self.step_flops(candidate)
        assert self._profile is not None, "checked at construction"
        return self._profile.seconds[candidate]

    def _evaluation(self, part: int, lambda_k: Candidates) -> tuple[list[SubNetwork], int]:
        """What stands for the candidates of a stage that begins with that part, and on how many images."""
        growth = self._spec.growth
        networks = self._standing_for(lambda_k)
        images = self._spec.searchable(part) * self._spec.recipe.batch_size
        affordable = oneshot.affordable_images(
            self._cost, lambda_k, networks, images, growth.search.points, growth.search.estimate_share
        )
        return networks, min(affordable, growth.search.estimate_images, self._data.train_size)

    def _standing_for(self, candidates: Sequence[SubNetwork]) -> list[SubNetwork]:
        """What is evaluated of each; where patches are dropped, an evaluation sees all of them."""
        space = self._spec.space
        if space.patches_by == "dropout":
            return [SubNetwork(c.depth, space.full.patches) for c in candidates]
        return oneshot.evaluated_as(candidates, self._spec.growth.search.estimate_at == "common")

    def _estimate_flops(self, stage: int, lambda_k: Candidates) -> float:
        evaluation = oneshot.estimation_flops(self._cost, *self._evaluation(stage - 1, lambda_k))
        return float(self._spec.growth.search.points * evaluation)
