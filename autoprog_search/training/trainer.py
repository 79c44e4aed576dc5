"""The staged loop: train one run through its K stages, asking a method at each boundary (sections 3 and 4).

A small state machine, `open -> search -> train -> open of the next stage`. Where the method needs estimates, a stage's
first steps train its supernet.
"""

from __future__ import annotations

from statistics import fmean

from autoprog_search.choosing import Choice, Method, Moment, StageContext
from autoprog_search.interrupt import Interrupted
from autoprog_search.oneshot.candidates import reachable
from autoprog_search.oneshot.clock import axis_of, branches, fit_mixing, has_to_mix, probe_tick
from autoprog_search.oneshot.estimate import supernet_of
from autoprog_search.schedule import SubNetwork
from autoprog_search.training.probe import probe
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
        self._steps, self._hooks = Steps(run, hooks), hooks
        run.should_stop = hooks.should_stop

    def train(self) -> RunResult:
        """Train to the end.

        Raises:
            RunFailedError: the loss is not finite.
            Interrupted: a hook said so; a later run with the same checkpoint goes on.
            StoppedEarly: a hook said so; the run's state and `train_flops` say what was spent.
        """
        self.train_parts(len(self.run.ends))
        return self.run.result()

    def train_parts(self, count: int) -> None:
        """Train to the end of the stage that so many parts of the run end in.

        The checkpoint then stands there, and any run may go on from a copy of it.
        """
        phases = {"open": self._open_stage, "search": self._search_stage, "train": self._train_stage}
        while self.run.state.part < count:
            phases[self.run.state.phase]()

    def _open_stage(self) -> None:
        run, state = self.run, self.run.state
        searches = not run.in_last_part and self.method.needs_estimates(state.stage)
        if searches and run.spec.space.clock == "free":
            self._open_on_clock()
            return
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

    def _open_on_clock(self) -> None:
        """Ask when to grow; mixing is measured before, once it can be."""
        run, state = self.run, self.run.state
        allowed = reachable(run.spec.space, state.previous)
        record = StageRecord(allowed[0])
        if self._probe_is_due():
            assert state.previous is not None, "it never measures in the first tick"
            trained = branches(state.previous, run.elastic.full)
            record.probe = {name: probe(run, to) for name, to in trained.items()}
            axis = axis_of(state.previous, run.elastic.full)
            record.mixing = {axis: fit_mixing(record.probe[axis], record.probe["stayed"])}
        choice = self._choose(allowed, record)
        run.grow(choice.sub_network)
        state.count_search(record)
        self._enter(choice, record)

    def _probe_is_due(self) -> bool:
        """Once, as soon as it can be measured, where what grows has to mix."""
        run, previous, full = self.run, self.run.state.previous, self.run.elastic.full
        if previous in (None, full) or any(record.probe for record in run.state.stages):
            return False
        assert previous is not None
        return has_to_mix(axis_of(previous, full), self._dropped) and run.state.part >= probe_tick(run.rates)

    @property
    def _dropped(self) -> bool:
        return self.run.spec.space.patches_by == "dropout"

    def _search_stage(self) -> None:
        """Train the supernet, one drawn candidate a step; evaluate all at several points; ask the method."""
        run, state, lambda_k = self.run, self.run.state, self.run.candidates
        begin, supernet = run.begin, supernet_of(lambda_k)
        drawn = self.search.drawn(state.stage, lambda_k, begin)
        for point in self.search.points(state, lambda_k)[state.search_points :]:
            self._steps.take(begin + point, drawn, supernet)
            run.elastic.activate(supernet)
            try:
                self.search.estimate(state, run.networks.judged, lambda_k)
            except Interrupted:  # the run goes on with all of it
                run.save()
                raise
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
        until = state.stages[-1].until
        to_choose = len(run.ends) - 1 - until  # stages at most: the last part trains the full network
        ahead = run.spec.space.clock == "stages" and any(
            self.method.needs_estimates(state.stage + k) for k in range(1, to_choose + 1)
        )
        self._steps.take(run.ends[until - 1], lambda step: chosen, chosen, drawn=False, estimation=ahead)
        state.stage += 1
        state.phase = "open"
        run.save()

    def _enter(self, choice: Choice, record: StageRecord) -> None:
        """Train the chosen sub-network from here on."""
        run, state = self.run, self.run.state
        record.chosen, record.w, record.margin = choice.sub_network, choice.w, choice.margin
        record.until, record.deadlines = choice.until or state.part + 1, dict(choice.deadlines)
        assert state.part < record.until <= len(run.ends) - (choice.sub_network != run.elastic.full), "too long"
        if run.spec.space.clock == "free" and state.previous not in (None, choice.sub_network):
            record.level, state.recent = fmean(state.recent), []
        state.stages.append(record)
        state.phase = "train"
        self._hooks.on_stage(run)
        run.save()

    # ── asking the method ───────────────────────────────────────────────────────────────────────────────────────

    def _choose(self, allowed: tuple[SubNetwork, ...], record: StageRecord | None) -> Choice:
        if self.run.in_last_part:
            return Choice(self.run.elastic.full)
        return self.run.world.decided(lambda: self.method.choose(self._context(allowed, record)))

    def _context(self, allowed: tuple[SubNetwork, ...], record: StageRecord | None) -> StageContext:
        spec, state = self.run.spec, self.run.state
        on_clock = spec.space.clock == "free"
        return StageContext(
            stage=state.stage,
            candidates=allowed,
            previous=state.previous,
            estimates=record.estimates if record and record.candidates else None,
            history=tuple(r.estimates for r in state.stages if r.candidates),
            depths=spec.space.depths,
            patches=spec.space.patches,
            clock=self._moment(record) if record is not None and on_clock else None,
            ends=self._run_ends(allowed) if spec.growth.target_speedup is not None and not on_clock else None,
        )

    def _moment(self, record: StageRecord) -> Moment:
        run, state = self.run, self.run.state
        tick = run.spec.steps / len(run.ends)
        measured = next((r.mixing for r in (*state.stages, record) if r.mixing), {})
        return Moment(
            tick=state.part,
            rates=run.rates,
            mixing={axis: steps / tick for axis, steps in measured.items()},
            costs={s: tick * run.step_flops(s) for s in run.spec.space.sub_networks},
            spent=run.train_flops() + state.search_flops,
            tick_steps=tick,
            dropped=self._dropped,
        )

    def _run_ends(self, allowed: tuple[SubNetwork, ...]) -> tuple[tuple[float, ...], ...]:
        """What the run may have cost at its end with each of these, as shares of the full run's."""
        run, state = self.run, self.run.state
        spent, left = run.train_flops() + state.search_flops, run.ends[state.part] - state.step
        return tuple(self.search.outlook.ends(spent, state.stage, left, chosen) for chosen in allowed)
