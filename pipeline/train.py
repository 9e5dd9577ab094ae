"""Stage `train`: train one network with one seed, tracked in MLflow, resumed where it was cut off.

Leaves the best and the last weights, the history of the epochs and the facts of the run.
"""

import argparse

from pipeline.errors import exit_on_user_error
from pipeline.params import TRIAL_HELP, load_params, trial_argument


@exit_on_user_error
def main() -> None:
    """Run the stage."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.train", description=__doc__)
    parser.add_argument("trial", type=trial_argument, help=TRIAL_HELP)
    trial = parser.parse_args().trial
    params = load_params()

    from pipeline.training import Training, train  # TensorFlow, after all cheap checks

    train(Training.of(params, trial))


if __name__ == "__main__":
    main()
