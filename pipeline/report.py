"""Stage `report`: compare the two networks in reports/report.md and reports/report.html."""

import argparse

from pipeline.errors import exit_on_user_error
from pipeline.params import load_params


@exit_on_user_error
def main() -> None:
    """Run the stage."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.report", description=__doc__)
    parser.parse_args()
    params = load_params()

    from pipeline.reporting import write_report  # pandas and seaborn, after all cheap checks

    print(write_report(params))


if __name__ == "__main__":
    main()
