"""The command line: `python -m pipeline COMMAND`.

Each command imports what it needs when it runs, so that --help answers at once and a wrong value
is refused before TensorFlow is loaded.
"""

import gc
import importlib
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from pipeline.core.errors import UserError, run_command
from pipeline.core.files import OUTPUTS, PREPARED, REPORTS, project_folder
from pipeline.core.loading import load_keras
from pipeline.core.recipe import VARIANTS
from pipeline.networks import network_names
from pipeline.settings.presets import preset_names
from pipeline.settings.trainings import TRAINING_HELP, Training

COMPLETION = "_PIPELINE_COMPLETE"  # set by the shell while it completes a command
PORT = click.IntRange(1, 65535)
PORT_HELP = "The port; default: {}, or any free one if that is in use."
# The outputs of other stages that are checked before a stage is run by hand.
READ = {
    "prepare": (),
    "train": (PREPARED,),
    "evaluate": (PREPARED,),
    "report": (PREPARED, OUTPUTS),
    "publish": (PREPARED, OUTPUTS, REPORTS),
}
STAGE = re.compile(r"^([^@]*:)?(train|evaluate)@")  # in DVC_STAGE, with dvc.yaml's path or without
CPUS = click.option(
    "--cpus-per-training",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="CPU cores per training. If there are GPUs, each training takes one GPU instead.",
)
CLUSTER = click.option(
    "--on",
    "cluster",
    metavar="ADDRESS",
    help="Train on a Ray cluster: the address of its job server, like http://127.0.0.1:8265.",
)
DRY_RUN = click.option("--dry-run", is_flag=True, help="Only print what would be trained.")
MODEL_HELP = "The trained network: champion, challenger, or a training like resnet-dropblock-0."


def here(path: str) -> Path:
    """Return a path that is relative to the folder in which the command was typed."""
    start = click.get_current_context().obj or Path.cwd()
    return Path(path) if start == Path.cwd() else start / path


def parse_training(name: str) -> Training:
    """Return a training, written like `resnet-dropblock-0` or as DVC names its stage."""
    if training := Training.parse(STAGE.sub("", name)):
        return training
    known = f"networks: {', '.join(network_names())}; variants: {', '.join(VARIANTS)}"
    raise click.BadParameter(f"{name!r} is not a training; give {TRAINING_HELP} ({known})")


class InOrder(click.Group):
    """Lists the commands in the order of this file: the stages, then the others."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands' names."""
        return list(self.commands)


@click.group(cls=InOrder, context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Train image classifiers and compare them.

    `make run` or `dvc repro` runs the stages of dvc.yaml in order; run the other commands by hand.
    """


def run_stage(name: str, *training: Training) -> None:
    """Run a stage's function, stage(params[, training]), and print the message it returns."""
    from pipeline.settings.params import load_params

    if "DVC_STAGE" in os.environ:  # then DVC checked its inputs
        params = load_params()
    else:
        from pipeline.versioning.experiments import check_outputs, params_of_results

        check_outputs(*READ[name])
        params = params_of_results() if name == "publish" else load_params()
    if training:  # only train and evaluate need Keras; loaded after all cheap checks
        load_keras()
    stage = getattr(importlib.import_module(f"pipeline.stages.{name}"), name)
    print(stage(params, *training))


@cli.command()
def prepare() -> None:
    """Stage: load, sharpen and split the images."""
    run_stage("prepare")


@cli.command()
@click.argument("training", type=parse_training)
def train(training: Training) -> None:
    """Stage: train one network with one seed.

    TRAINING is network-variant-seed, like resnet-dropblock-0 (in DVC, train@model-dropblock-0).
    MLflow tracks it; an interrupted training resumes after its last complete epoch.
    """
    run_stage("train", training)


@cli.command()
@click.argument("training", type=parse_training)
def evaluate(training: Training) -> None:
    """Stage: score one training.

    TRAINING is network-variant-seed, like resnet-dropblock-0 (in DVC, evaluate@model-dropblock-0).
    Scores the training, validation and test images; not the test images if evaluate.test is false.
    Writes metrics and predictions.
    """
    run_stage("evaluate", training)


@cli.command()
def report() -> None:
    """Stage: compare the networks; writes reports/report.html."""
    run_stage("report")


@cli.command()
def publish() -> None:
    """Stage: record the results in MLflow's store.

    Afterwards each training has one finished run with curves, scores, model and report. The best
    training by validation accuracy becomes champion if it beats the current champion of the same
    data. This also fills an empty store, for example after `dvc pull` in a fresh clone.
    """
    run_stage("publish")


@cli.command()
@click.argument("name", type=click.Choice(preset_names()))
@click.argument("overrides", metavar="[KEY=VALUE]...", nargs=-1)
def preset(name: str, overrides: tuple[str, ...]) -> None:
    """Set params.yaml to a preset and print what changed.

    Keeps data.path and the sections of your own networks, and resets everything else.

    \b
    python -m pipeline preset tutorial data.path=/data/cifar-100-binary
    python -m pipeline preset quick
    """
    from pipeline.settings.presets import write_preset

    print(write_preset(name, list(overrides)))


@cli.command()
def upgrade() -> None:
    """Convert a params.yaml of an earlier version. Its values are kept."""
    from pipeline.settings.upgrade import upgrade_params

    print(upgrade_params())


@cli.command()
def check() -> None:
    """Check params.yaml, the repository and MLflow's store.

    Lists all unknown keys and wrong values at once. Run it first: DVC's error for a malformed list
    does not name the key.
    """
    from pipeline.data.sources import most_training_images
    from pipeline.settings.params import PARAMS_FILE, check_batch_size, load_params
    from pipeline.tracking.database import check_database, store_uri
    from pipeline.versioning.repository import check_repository

    params = load_params()
    for network in params.train.networks:
        check_batch_size(network, params.recipe(network), most_training_images(params.data))
    titles = ", ".join(training.title for training in params.trainings)
    check_repository()
    check_database(store_uri())
    print(f"{PARAMS_FILE} is valid; its trainings are {titles}")


@cli.command()
@click.option(
    "--reference", metavar="NAME", help="The experiment to compare with; default: this run."
)
@click.option(
    "--x",
    metavar="KEY",
    help="The param on the plot's x axis; only settings that differ in nothing else are plotted.",
)
def compare(reference: str | None, x: str | None) -> None:
    """Compare all experiments on the prepared data.

    Writes reports/experiments/report.html.
    """
    from pipeline.commands.compare import compare

    print(compare(reference, x))


@cli.command()
@click.argument("network", type=click.Choice(network_names()))
@click.option("--to", type=click.Choice(network_names()), required=True,
              help="The network whose compute to match.")  # fmt: skip
@click.option("--by", "key", metavar="KEY", default="width", show_default=True,
              help="The numeric key of NETWORK to change, like epochs.")  # fmt: skip
def match(network: str, to: str, key: str) -> None:
    """Find the width (or other key) at which two networks take equal compute.

    Counts the operations of whole trainings with the recipes in params.yaml and the prepared data.
    Prints the cost of both trainings and the `-S` override that makes them equal within 2 %.

    \b
    python -m pipeline match baseline --to model
    python -m pipeline match baseline --to model --by epochs
    """
    from pipeline.commands.match import match

    print(match(network, to, key))


@cli.command()
@click.option(
    "-S",
    "--set-param",
    "overrides",
    metavar="KEY=VALUE[,VALUE...]",
    multiple=True,
    help="As in `dvc exp run --queue`: one experiment per value or combination of values.",
)
@click.option(
    "--until-decided",
    "most",
    metavar="MOST",
    type=click.IntRange(min=2),
    help="Add seeds until the difference between two networks is decided, up to MOST seeds.",
)
@CPUS
@CLUSTER
@DRY_RUN
def sweep(
    overrides: tuple[str, ...],
    most: int | None,
    cpus_per_training: int,
    dry_run: bool,
    cluster: str | None,
) -> int:
    """Run many experiments, several trainings at once.

    One training runs per GPU, or per CPU core if there is none. Trains only what has not been
    trained before, and records each experiment for `dvc exp show`. After Ctrl-C or a failure, the
    same command continues.

    \b
    python -m pipeline sweep -S 'model.drop_block_size=1,3,5,7' -S 'train.seeds=[0,1,2]'
    python -m pipeline sweep --until-decided 20
    """
    from pipeline.commands.until import sweep_until_decided
    from pipeline.sweep.run import sweep
    from pipeline.versioning.overrides import expand

    if most:
        return sweep_until_decided(expand(overrides), most, cpus_per_training, dry_run, cluster)
    swept = sweep(expand(overrides), cpus_per_training, dry_run, cluster)
    if not dry_run:
        print("`make compare` compares them")
    return 1 if swept.lacking else 0


@cli.command()
@CPUS
@CLUSTER
@DRY_RUN
def tune(cpus_per_training: int, dry_run: bool, cluster: str | None) -> int:
    """Tune the networks with equal budgets.

    Each network gets the same trials of the same spaces. tune.yaml declares the number of trials
    and the spaces. The trials are random points, run as a sweep, and scored on validation images
    only. Writes reports/tuning/report.html, with the best accuracy to expect after each number of
    trials, and the best values as preset `tuned`. MLflow's UI shows the trials under one run. After
    Ctrl-C or a failure, the same command continues.
    """
    from pipeline.commands.tune import tune

    return tune(cpus_per_training, dry_run, cluster)


@cli.command()
@click.argument("pictures", type=here, nargs=-1, required=True)
@click.option("--model", default="champion", show_default=True, help=MODEL_HELP)
@click.option(
    "--top",
    type=click.IntRange(min=1),
    default=5,
    show_default=True,
    help="How many classes to list.",
)
def predict(pictures: tuple[Path, ...], model: str, top: int) -> None:
    """Classify PNG, JPEG or WebP pictures of any size.

    Says how each was made square, whether the network is unsure, and whether brightness, contrast
    or colour is outside the range of up to 5,000 validation images (of training images if there
    are none).

    \b
    python -m pipeline predict cat.png dog.jpg
    python -m pipeline predict --model resnet-dropblock-0 cat.png
    python -m pipeline predict --model challenger cat.png
    """
    from pipeline.commands.predict import predict

    print(predict(list(pictures), model, top))


@cli.command()
@click.argument("file", type=here)
@click.option("--model", default="champion", show_default=True, help=MODEL_HELP)
def export(file: Path, model: str) -> None:
    """Write a network to a file for TensorFlow Lite (LiteRT).

    FILE ends with .tflite; the names of the classes are written to a .txt next to it. The model
    takes whole numbers 0..255 as pixels, like `serve`, and returns probabilities.
    """
    from pipeline.commands.export import export

    print(export(file, model))


@cli.command()
@click.option("--model", default="champion", show_default=True, help=MODEL_HELP)
@click.option("--port", type=PORT, help=PORT_HELP.format(5001))
def serve(model: str, port: int | None) -> None:
    """Serve a network on 127.0.0.1.

    POST /invocations takes {"inputs": [image, ...]}, where each image is data.image_size
    rows of data.image_size pixels of three whole numbers 0..255, and answers {"predictions":
    [{class: probability, ...}, ...]}. A request has at most 256 images and 8 MB; while 8 requests
    are under way, others get status 503 at once.

    \b
    echo '{"inputs": [...]}' |
      curl -s 127.0.0.1:5001/invocations -H 'Content-Type: application/json' -d @-
    """
    from pipeline.commands.servers import serve

    serve(model, port)


@cli.command()
@click.option("--port", type=PORT, help=PORT_HELP.format(5000))
def ui(port: int | None) -> None:
    """Record results that MLflow's store lacks, then serve its UI on 127.0.0.1."""
    from pipeline.commands.servers import open_ui

    open_ui(port)


@cli.command()
@click.argument("name", required=False)
def lookup(name: str | None) -> None:
    """Show which MLflow run belongs to which training.

    NAME is the name or revision of an experiment, or the beginning of a run's id; default: all.
    """
    from pipeline.commands.lookup import lookup

    print(lookup(name).to_markdown(index=False))


@cli.command()
@click.argument("folder", type=here, required=False)
def verify(folder: Path | None) -> int:
    """Compare this run with published results.

    FOLDER holds a published report, like reports/sprint; default: the one with the same images, in
    any order, and the same params except seeds. Says for each network whether its accuracy differs
    from the published one by more than seed variation; exits with 1 if so. The chance of any false
    alarm is 5 %.
    """
    from pipeline.commands.verify import DISAGREES, verify
    from pipeline.versioning.experiments import check_outputs

    check_outputs(REPORTS)
    table, published = verify(folder)
    print(f"{table.to_markdown(index=False)}\n\npublished in {published}")
    return int(table["agreement"].eq(DISAGREES).any())


@cli.command()
def doctor() -> int:
    """Repair what dead processes left; report what MLflow lacks.

    Closes runs and tasks of DVC's queue that a dead process left running; removes damaged files
    from DVC's cache; reports results that are not in MLflow, and runs and models whose files are
    gone. Exits with 1 if something is left for you to do.
    """
    from pipeline.commands.doctor import repair_and_examine

    return repair_and_examine()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    if COMPLETION in os.environ:
        return cli.main(prog_name="pipeline", complete_var=COMPLETION)
    chosen = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    start = Path.cwd()
    os.chdir(project_folder())
    return run_command(lambda: _run(chosen, start))


def _run(arguments: list[str], start: Path) -> int | None:
    try:
        return cli.main(arguments, "python -m pipeline", standalone_mode=False, obj=start)
    except click.Abort:
        raise KeyboardInterrupt from None
    except click.UsageError as error:
        asked = error.ctx.command_path if error.ctx else "python -m pipeline"
        raise UserError(f"{error.format_message()}\nTry `{asked} --help`") from None


if __name__ == "__main__":
    # The libraries' objects stay to the end. By default, the garbage collector looks through them
    # again and again, which takes up to a fifth of a short command's time, and once more at exit.
    gc.set_threshold(50_000, 20, 100)
    code = main()
    gc.freeze()
    sys.exit(code)
