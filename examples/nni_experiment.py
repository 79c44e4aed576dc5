"""Growth schedules searched by NNI: a model space, an evaluator, a strategy, an experiment, as in NNI's documents.

    pip install 'autoprog-search[nni]'
    python nni_experiment.py --strategy autoprog     # or random, evolution, grid

Every run is kept in a study beside it, so that a stopped experiment, started again, trains nothing twice, and
`autoprog-search study compare nni_autoprog` reads the results.
"""

import argparse
from pathlib import Path

# isort: off
from autoprog_search import AutoProgStrategy, GrowthSpace  # before NNI: it hides what NNI says when it is imported
from nni.nas import strategy
from nni.nas.experiment import NasExperiment

# isort: on
from autoprog_search.engines.nni import StudyRuns
from autoprog_search.methods.nni import GrowthEvaluator, growth_model_space
from autoprog_search.methods.nni_experiment import node_on_loopback
from autoprog_search.study.creation import create_study
from autoprog_search.study.resolve import make_config

STRATEGIES = {
    "autoprog": lambda trials: AutoProgStrategy(trials=trials),
    "random": lambda trials: strategy.Random(seed=0),
    "evolution": lambda trials: strategy.RegularizedEvolution(
        population_size=max(2, trials // 2), sample_size=2, seed=0
    ),
    "grid": lambda trials: strategy.GridSearch(seed=0),
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Search growth schedules on the embedded digits with NNI.")
    parser.add_argument("--strategy", choices=STRATEGIES, default="autoprog")
    parser.add_argument("--trials", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--port", type=int, default=8080)
    args = parser.parse_args()

    # Where runs are kept, and what decides them: space, data, recipe.
    space, method, name = GrowthSpace.load("digits"), f"nni:{args.strategy}", f"nni_{args.strategy}"
    config = make_config(
        name, space="digits", data={"name": "digits"}, methods=[method], trials=args.trials, seeds=1,
        overrides=[f"recipe.epochs={args.epochs}", f"methods.{method}.trials={args.trials}"],
    )  # fmt: skip
    if create_study(Path("studies"), config, skip_if_exists=True).config != config:
        raise SystemExit(
            f"studies/{name} has other settings; go on with these, or: autoprog-search study delete {name}"
        )

    model_space = growth_model_space(space)
    evaluator = GrowthEvaluator(StudyRuns(Path("studies"), name, method, seed=0))
    experiment = NasExperiment(model_space, evaluator, STRATEGIES[args.strategy](args.trials))
    experiment.config.max_trial_number = args.trials
    experiment.config.trial_concurrency = 1
    experiment.config.experiment_working_directory = str(Path("studies", name, "nni").resolve())
    with node_on_loopback():  # NNI's portal would be open to the whole network
        if not experiment.run(port=args.port):
            raise SystemExit("interrupted; run the same command again to go on")
    for best in experiment.export_top_models(formatter="dict"):
        print("best schedule:", ", then ".join(str(space.at(*levels)) for levels in space.from_parameters(best)))
    experiment.stop()


if __name__ == "__main__":
    main()
