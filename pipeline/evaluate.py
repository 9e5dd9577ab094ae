"""Stage `evaluate`: score the best and the last weights of one training.

Reads the test set once, leaves metrics and the best weights' predictions, and adds both and the
exported model to the training's MLflow run.
"""

import argparse

from pipeline.errors import exit_on_user_error
from pipeline.params import TRIAL_HELP, load_params, trial_argument


@exit_on_user_error
def main() -> None:
    """Run the stage."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.evaluate", description=__doc__)
    parser.add_argument("trial", type=trial_argument, help=TRIAL_HELP)
    trial = parser.parse_args().trial
    params = load_params()

    from pipeline.evaluation import evaluate  # TensorFlow, after all cheap checks

    evaluate(params, trial)


if __name__ == "__main__":
    main()
