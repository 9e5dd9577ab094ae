"""Plan a sweep: its experiments (points) and the distinct trainings (tasks) that they need."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.settings.identity import code_digest, digest, identity
from pipeline.settings.params import PARAMS_FILE, check_params
from pipeline.settings.trainings import Training
from pipeline.versioning.overrides import Overrides, experiment_name, overridden
from pipeline.versioning.repository import Stages, git
from pipeline.versioning.snapshot import CODE, Snapshot


class Data(NamedTuple):
    """Prepared data.

    Attributes:
        stages: their entry in dvc.lock.
        digest: the digest of their content.
        images: the number of training images.
        classes: the number of classes.
        image_size: the side of the images in pixels.
    """

    stages: Stages
    digest: str
    images: int
    classes: int
    image_size: int


class Task(NamedTuple):
    """A training with its evaluation; several experiments may share it.

    Attributes:
        key: the training's identity.
        result: identifies the training together with its evaluation.
        experiment, overrides: the first experiment that needs it, and its -S overrides.
    """

    key: str
    result: str
    training: Training
    experiment: str
    overrides: Overrides

    @property
    def title(self) -> str:
        """Its name for people."""
        return f"{self.training.title} of {self.experiment}"

    @property
    def weights_key(self) -> str:
        """Identifies its weights: variants without DropBlock are one training, but two outputs."""
        return f"{self.key}-{self.training.variant}"


@dataclass(frozen=True)
class Point:
    """One experiment of the sweep.

    Attributes:
        name: as in `dvc exp show`; the same for the same params, code and data.
        overrides: its -S overrides.
        values: params.yaml with the overrides.
        data: None before they are prepared.
    """

    name: str
    overrides: Overrides
    values: dict[str, Any]
    data: Data | None = None

    def with_data(self, data: Data | None) -> "Point":
        """Return it with its data, on which its name depends too; None changes nothing."""
        if data is None:
            return self
        words, _, key = self.name.rpartition("-")
        return replace(self, data=data, name=f"{words}-{digest([key, data.digest])[: len(key)]}")

    @cached_property
    def data_key(self) -> str:
        """Hash of section `data`."""
        return digest(self.values["data"])

    @cached_property
    def tasks(self) -> list[Task]:
        """Its trainings."""
        params, data = check_params(self.values), self.data.digest if self.data else self.data_key
        found = []
        for training in params.trainings:
            key = identity(params, training, data)
            code = code_digest(training.network, "evaluate")
            result = digest([key, training.variant, self.values["evaluate"], code])
            found.append(Task(key, result, training, self.name, self.overrides))
        return found


def plan_points(root: Path, snapshot: Snapshot, choices: Sequence[Overrides]) -> list[Point]:
    """Check the params of each experiment and name it.

    Args:
        root: the repository from which the snapshot was taken.
        choices: the -S overrides of each experiment.

    Raises:
        UserError: raised by override_params or check_params.
    """
    code = [git(root, "rev-parse", f"{snapshot.state}:./{path}") for path in CODE]
    original = git(root, "show", f"{snapshot.state}:./{PARAMS_FILE}")
    points = {}
    for chosen in choices:
        values = overridden(original, chosen)
        check_params(values, f"{PARAMS_FILE} with -S {' -S '.join(chosen)}")
        name = experiment_name(chosen, choices, digest([values, code]))
        points[name] = Point(name, chosen, values)
    return list(points.values())


def list_tasks(points: Iterable[Point]) -> list[Task]:
    """Return the distinct tasks, in the order of the experiments."""
    return distinct((task for point in points for task in point.tasks), attrgetter("result"))


def distinct(tasks: Iterable[Task], key: Callable[[Task], str]) -> list[Task]:
    """Return the first task of each key."""
    found: dict[str, Task] = {}
    for task in tasks:
        found.setdefault(key(task), task)
    return list(found.values())
