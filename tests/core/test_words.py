import ast
import re
from pathlib import Path

import pytest

from pipeline.core import words
from pipeline.core.words import describe_dropblock

PIPELINE = Path(words.__file__).parents[1]
FALLING = {
    "drop_block_size": 5, "drop_block_oversize": "skip",
    "conv_keep_start": 1.0, "conv_keep_step": 0.01, "conv_keep_end": 0.9, "epochs": 6,
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "5x5 blocks, keep 1 to 0.95"),
        ({"conv_keep_end": 0.97}, "5x5 blocks, keep 1 to 0.97"),
        ({"conv_keep_start": 0.9, "drop_block_size": 1}, "single units, keep 0.9"),
        ({"drop_block_oversize": "clamp"}, "5x5 blocks clamped to the map, keep 1 to 0.95"),
        ({"conv_keep_end": 1.0}, "no DropBlock"),
        ({"conv_keep_step": 0.0}, "no DropBlock"),  # its end is never reached
        ({"epochs": 1}, "no DropBlock"),
    ],
)
def test_a_recipe_says_how_it_drops(changes, said):
    assert describe_dropblock({**FALLING, **changes}) == said


def test_a_recipe_without_the_keys_has_no_dropblock():
    assert describe_dropblock({"epochs": 3}) == words.NO_DROPBLOCK


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
