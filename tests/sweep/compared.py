"""Read an experiment's report, to compare it with the same experiment's run another way."""

import json
import re

from dvc.api import DVCFileSystem

# What differs between two runs of the same training.
MEASURED = {"seconds", "images_per_second", "memory", "run_id", "machine", "git"}


def without_measured(values):
    """Return JSON without times, memory and what names a run."""
    if isinstance(values, dict):
        kept = {k: v for k, v in values.items() if not any(m in k for m in MEASURED)}
        return {k: without_measured(v) for k, v in kept.items()}
    return [without_measured(v) for v in values] if isinstance(values, list) else values


def comparison(project, revision):
    """Return an experiment's comparison, experiments named without what their runner added."""
    text = DVCFileSystem(str(project.folder), rev=revision).read_text("reports/comparison.json")
    return without_measured(json.loads(re.sub(r"(drop_block_size-\d)-\w+", r"\1", text)))
