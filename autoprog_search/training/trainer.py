"""The staged loop: train one run through its K stages, asking a method at each boundary (sections 3 and 4).

A small state machine, `open -> search -> train -> open of the next stage`. Where the method needs estimates, a stage's
first steps train its supernet.
"""

from __future__ import annotations

from autoprog_search.choosing import Choice, Method, StageContext
from autoprog_search.oneshot.candidates import reachable
from autoprog_search.oneshot.estimate import supernet_of
from autoprog_search.schedule import SubNetwork
from autoprog_search.training.profile import StepProfile
from autoprog_search.training.run import Run
from autoprog_search.training.search import Search
from autoprog_search.training.state import RunResult, StageRecord
from autoprog_search.training.steps import NO_HOOKS, Hooks, Steps


class Trainer:
    """Trains a run from where it stands.

    Args:
        run: what is trained.
        method: asked for the sub-network of each stage but the last.
        profile: seconds of a training step per sub-network; needed where `growth.search.score_cost` is `seconds`.
        hooks: what it tells and asks meanwhile.

    Attributes:
        search: the run's one-shot searches.

    Raises:
        ConfigError: `method` searches, and cannot under the run's settings.
    """

    def __init__(
        self, run: Run, method: Method, *, profile: StepProfile | None = None, hooks: Hooks = NO_HOOKS
    ) -> None:
        self.run, self.method = run, method
        self.search = Search(run, method, profile)
        self._steps = Steps(run, hooks)

    def train(self) -> RunResult:
        """Train to the end.

        Raises:
            RunFailedError: the loss is not finite.
            Interrupted: a hook said so; a later run with the same checkpoint goes on.
            StoppedEarly: a hook said so; the run's state and `train_flops` say what was spent.
        """
        self.train_stages(len(self.run.ends))
        return self.run.result()

    def train_stages(self, last: int) -> None:
        """Train to the end of that stage; the checkpoint then stands there, and any run may go on from a copy of it."""
        phases = {"open": self._open_stage, "search": self._search_stage, "train": self._train_stage}
        while self.run.state.stage <= last:
            phases[self.run.state.phase]()

    def _open_stage(self) -> None:
        run, state = self.run, self.run.state
        searches = self._searches(state.stage)
        allowed = run.candidates if searches else reachable(run.spec.space, state.previous)
        if searches and len(allowed) > 1:
            self.search.begin(state, run.networks.judged, allowed, state.previous)
            run.grow(supernet_of(allowed))
            state.phase = "search"
            run.save()
            return
        choice = self._choose(allowed, None)
        run.grow(choice.sub_network)
        self._enter(choice, StageRecord(choice.sub_network))

    def _search_stage(self) -> None:
        """Train the supernet, one drawn candidate a step; evaluate all at several points; ask the method."""
        run, state, lambda_k = self.run, self.run.state, self.run.candidates
        begin, supernet = run.ends[state.stage - 1] - run.spec.stage_steps[state.stage - 1], supernet_of(lambda_k)
        drawn = self.search.drawn(state.stage, lambda_k, begin)
        for point in self.search.points(state.stage, lambda_k)[state.search_points :]:
            self._steps.take(begin + point, drawn, supernet)
            run.elastic.activate(supernet)
            self.search.estimate(state, run.networks.judged, lambda_k)
            run.save()
        record = self.search.record(state, lambda_k)
        choice = self._choose(lambda_k, record)
        state.count_search(record)
        assert choice.sub_network in lambda_k, "a method chose what was no candidate"
        state.search, state.search_points, state.search_means = None, 0, []
        # Recycling: weights, EMAs and optimiser state are the supernet's; nothing is grown.
        run.networks.activate(choice.sub_network)
        self._enter(choice, record)

    def _train_stage(self) -> None:
        run, state = self.run, self.run.state
        chosen = run.elastic.sub_network
        ahead = any(map(self._searches, range(state.stage + 1, len(run.ends))))
        self._steps.take(run.ends[state.stage - 1], lambda step: chosen, chosen, drawn=False, estimation=ahead)
        state.stage += 1
        state.phase = "open"
        run.save()

    def _searches(self, stage: int) -> bool:
        """The last stage trains the full network: there is nothing to choose."""
        return stage < len(self.run.ends) and self.method.needs_estimates(stage)

    def _enter(self, choice: Choice, record: StageRecord) -> None:
        """Train the chosen sub-network from here on."""
        record.chosen, record.w, record.margin = choice.sub_network, choice.w, choice.margin
        self.run.state.stages.append(record)
        self.run.state.phase = "train"
        self.run.save()

    # ── asking the method ───────────────────────────────────────────────────────────────────────────────────────

    def _choose(self, allowed: tuple[SubNetwork, ...], record: StageRecord | None) -> Choice:
        if self.run.state.stage == len(self.run.ends):
            return Choice(self.run.elastic.full)
        return self.run.world.decided(lambda: self.method.choose(self._context(allowed, record)))

    def _context(self, allowed: tuple[SubNetwork, ...], record: StageRecord | None) -> StageContext:
        spec, state = self.run.spec, self.run.state
        return StageContext(
            stage=state.stage,
            candidates=allowed,
            previous=state.previous,
            estimates=record.estimates if record else None,
            history=tuple(r.estimates for r in state.stages if r.candidates),
            depths=spec.space.depths,
            patches=spec.space.patches,
            ends=self._run_ends(allowed) if spec.growth.target_speedup is not None else None,
        )

    def _run_ends(self, allowed: tuple[SubNetwork, ...]) -> tuple[tuple[float, ...], ...]:
        """What the run may have cost at its end with each of these, as shares of the full run's."""
        run, state = self.run, self.run.state
        spent, left = run.train_flops() + state.search_flops, run.ends[state.stage - 1] - state.step
        return tuple(self.search.outlook.ends(spent, state.stage, left, chosen) for chosen in allowed)
