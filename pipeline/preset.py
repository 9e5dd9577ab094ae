"""Write a preset of presets/ into params.yaml, comments kept, and print the difference."""

import argparse
import difflib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from pipeline.errors import UserError, exit_on_user_error
from pipeline.params import PARAMS_FILE, check_params, read_yaml

PRESETS = Path("presets")
EPILOG = """examples:
  python -m pipeline.preset tutorial data.path=/data/cifar-100-binary
  python -m pipeline.preset quick
  dvc exp run $(python -m pipeline.preset tutorial --flags)"""


def leaves(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted key, value) for each value of nested sections."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def apply(text: str, changes: dict[str, Any]) -> str:
    """Change dotted keys in the text of params.yaml; comments and layout stay."""
    yaml = YAML()
    yaml.width = 200
    yaml.representer.add_representer(
        type(None), lambda r, _: r.represent_scalar("tag:yaml.org,2002:null", "null")
    )
    values = yaml.load(text)
    for key, value in changes.items():
        section, _, name = key.rpartition(".")
        if name not in values.get(section, {}):
            raise UserError(f"{key} is not a key of {PARAMS_FILE}")
        old = values[section][name]
        if isinstance(value, list):  # keep the one-line style
            old[:] = value
        elif old != value:
            values[section][name] = value
    stream = io.StringIO()
    yaml.dump(values, stream)
    return stream.getvalue()


def parse_override(argument: str) -> tuple[str, Any]:
    """Split `key=value`, the value in YAML."""
    key, equals, value = argument.partition("=")
    if not equals:
        raise UserError(f"{argument}: give overrides as key=value, like data.path=/data/cifar")
    return key, YAML(typ="safe", pure=True).load(value)


def as_override(value: Any) -> str:
    """Write a value as `dvc exp run -S` takes it, without spaces or quotes."""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


@exit_on_user_error
def main() -> None:
    """Run the command."""
    names = sorted(file.stem for file in PRESETS.glob("*.yaml"))
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.preset",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", choices=names)
    parser.add_argument("override", nargs="*", help="key=value, on top of the preset")
    parser.add_argument("--flags", action="store_true", help="print it as -S flags of dvc exp run")
    arguments = parser.parse_args()
    changes = dict(leaves(read_yaml(PRESETS / f"{arguments.name}.yaml")))
    changes.update(parse_override(override) for override in arguments.override)
    if arguments.flags:
        print(" ".join(f"-S {key}={as_override(value)}" for key, value in changes.items()))
        return
    old = PARAMS_FILE.read_text()
    new = apply(old, changes)
    check_params(YAML(typ="safe", pure=True).load(new))
    PARAMS_FILE.write_text(new)
    difference = difflib.unified_diff(old.splitlines(), new.splitlines(), lineterm="", n=0)
    print(
        "\n".join(line for line in difference if line[:2] not in ("@@", "--", "++")) or "no change"
    )


if __name__ == "__main__":
    main()
