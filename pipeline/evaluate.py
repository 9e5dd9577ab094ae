"""Stage `evaluate`: score the best and the last weights of one training.

Reads the test set once, leaves metrics and the best weights' predictions, and adds both and the
exported model to the training's MLflow run.
"""

import argparse

from pipeline.errors import exit_on_user_error
from pipeline.params import NETWORKS, load_params


@exit_on_user_error
def main() -> None:
    """Run the stage."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.evaluate", description=__doc__)
    parser.add_argument("network", choices=NETWORKS, help="section of params.yaml")
    parser.add_argument("--seed", type=int, required=True, help="one of train.seeds")
    arguments = parser.parse_args()
    params = load_params()

    from pipeline.evaluation import evaluate  # TensorFlow, after all cheap checks

    evaluate(params.evaluate, arguments.network, arguments.seed)


if __name__ == "__main__":
    main()
