"""Error messages for params, one line each: the key, its value, what is wrong, the fix."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from pydantic_core import ErrorDetails

from pipeline.networks import display_name, network_names


class Problem(NamedTuple):
    """One problem that pydantic found.

    Attributes:
        key: like `section.key`; empty for a rule that involves several sections.
        kind, message: as pydantic gives them.
        value: the wrong value.
    """

    key: str
    kind: str
    message: str
    value: object

    @classmethod
    def of(cls, error: ErrorDetails, location: tuple[int | str, ...]) -> "Problem":
        """Take over pydantic's error about the value at this location."""
        parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in location]
        return cls("".join(parts).lstrip("."), error["type"], error["msg"], error["input"])


def explain(problems: Iterable[Problem], known: Mapping[str, Sequence[str]]) -> list[str]:
    """Return a line per problem, and one for all missing keys.

    Args:
        known: the keys of each section.
    """
    problems = list({(p.key, p.kind, p.message): p for p in problems}.values())
    missing = [problem.key for problem in problems if problem.kind == "missing"]
    lines = [_line(problem, known) for problem in problems if problem.kind != "missing"]
    if missing:
        lines.append(f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing")
    return lines


def _line(problem: Problem, known: Mapping[str, Sequence[str]]) -> str:
    if problem.kind == "extra_forbidden":
        return unknown_key(problem.key, known)
    if problem.kind == "rule":
        return f"{problem.key}: {problem.message}".removeprefix(": ")
    hint = ""
    if isinstance(problem.value, str) and problem.kind in ("float_type", "int_type"):
        hint = " (YAML reads this as text; write numbers without quotes, like 0.001)"
    message = problem.message[0].lower() + problem.message[1:]
    return f"{problem.key} = {problem.value!r}: {message}{hint}"


def unknown_key(key: str, known: Mapping[str, Sequence[str]]) -> str:
    """Say that there is no such key, and suggest the nearest one.

    Args:
        key: like `section.key`.
        known: the keys of each section.
    """
    section, dot, name = key.rpartition(".")
    section = {display_name(n): n for n in network_names()}.get(section, section)
    if section in known:
        near = [f"{section}{dot}{n}" for n in difflib.get_close_matches(name, known[section], n=1)]
    else:
        dotted = [f"{section}.{name}" for section, names in known.items() for name in names]
        near = difflib.get_close_matches(key, [*known, *dotted], n=1)
    others = ", ".join(known.get(section, known))
    hint = f"did you mean {near[0]}?" if near else f"known keys: {others}"
    return f"{key} is not a known key; {hint}"
