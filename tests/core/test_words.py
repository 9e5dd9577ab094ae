import ast
import re
from pathlib import Path

import pytest

from pipeline.core import words
from pipeline.core.words import NO_DROPBLOCK, describe_dropblock, duration

PIPELINE = Path(words.__file__).parents[1]
DROPS = {
    "drop_block_size": 5,
    "drop_block_oversize": "skip",
    "conv_keep_start": 1.0,
    "conv_keep_step": 0.01,
    "conv_keep_end": 0.9,
    "epochs": 6,
}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "5x5 blocks, keep 1 to 0.95"),
        ({"epochs": 50}, "5x5 blocks, keep 1 to 0.9"),
        ({"conv_keep_step": 0.002, "epochs": 3}, "5x5 blocks, keep 1 to 0.996"),
        ({"drop_block_oversize": "clamp"}, "5x5 blocks clamped to the map, keep 1 to 0.95"),
        ({"drop_block_size": 1, "conv_keep_start": 0.85, "conv_keep_step": 0.0,
          "conv_keep_end": 0.85}, "single units, keep 0.85"),
        ({"conv_keep_step": 0.0}, NO_DROPBLOCK),
        ({"epochs": 1}, NO_DROPBLOCK),  # it would begin to drop in the second epoch
    ],
)  # fmt: skip
def test_dropblock_is_said_by_what_is_dropped_and_how_much_is_kept(changes, said):
    assert describe_dropblock({**DROPS, **changes}) == said


def test_a_recipe_without_dropblock_says_so():
    assert describe_dropblock({"epochs": 6}) == NO_DROPBLOCK


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.4, "0 s"), (89, "89 s"), (90, "2 min"), (5_400, "90 min"), (5_401, "1.5 h"),
     (12_600, "3.5 h")],
)  # fmt: skip
def test_a_duration_is_said_as_people_do(seconds, said):
    assert duration(seconds) == said


def test_one_module_puts_the_dropblock_of_a_recipe_into_words():
    """No other has its words, or makes a text of its numbers, but for the layer's warnings."""
    phrases = re.compile(r"x\d* blocks|blocks of |\bno DropBlock|^single units|, keep(ing)? ")
    numbers = re.compile(r"drop_block_size|conv_keep_(start|step|end)")
    found = set()
    for file in PIPELINE.rglob("*.py"):
        nodes = list(ast.walk(ast.parse(file.read_text())))
        docstrings = {id(n.value) for n in nodes if isinstance(n, ast.Expr)}
        texts = [n.value for n in nodes if isinstance(n, ast.Constant) and id(n) not in docstrings]
        filled = [ast.unparse(part.value) for n in nodes if isinstance(n, ast.JoinedStr)
                  for part in n.values if isinstance(part, ast.FormattedValue)]  # fmt: skip
        if any(isinstance(t, str) and phrases.search(t) for t in texts):
            found.add(file.relative_to(PIPELINE).as_posix())
        if any(numbers.search(value) for value in filled):
            found.add(file.relative_to(PIPELINE).as_posix())
    assert found - {"networks/shared/dropblock.py"} == {"core/words.py"}
