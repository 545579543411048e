"""A user's own code as an id sees it: what changes a number counts, words do not, what cannot be seen is refused."""

import linecache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cells import cell

from optima_lab.errors import ConfigError
from optima_lab.source import cells, keep_cells, source_of

REWARD = '''
STEP = 0.5
def helper(x):
    """Half of it."""
    return STEP * x
def reward(before, after, weight=2.0):
    # the KL alone
    return weight * helper(before.kl - after.kl)
'''


def reward_id(text: str = REWARD, **known: Any) -> str:
    return source_of(cell(text, **known)["reward"]).id


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# the KL alone", "# words"),
        ('"""Half of it."""', '"""Other words."""'),
        ("weight * helper", "weight * (helper"),
    ],
)
def test_words_do_not_count(old: str, new: str) -> None:
    edited = REWARD.replace(old, new)
    assert reward_id(edited + ")" * new.count("* (helper")) == reward_id() != ""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("before.kl - after.kl", "before.hidden - after.hidden"),  # its body
        ("weight=2.0", "weight=3.0"),  # a default value
        ("STEP * x", "STEP + x"),  # a helper's body
        ("STEP = 0.5", "STEP = 0.25"),  # a global that only the helper reads
    ],
)
def test_what_can_change_a_number_counts(old: str, new: str) -> None:
    assert reward_id(REWARD.replace(old, new)) != reward_id()


def test_the_source_is_kept_as_it_was_written() -> None:
    found = source_of(cell(REWARD)["reward"])
    assert set(found.texts) == {"reward", "helper"}
    assert found.texts["reward"].startswith("def reward(before") and "# the KL alone" in found.texts["reward"]


CLASS = """
class Base:
    def scale(self): return 1.0
class Mine(Base):
    top: float = 2.0
    def __init__(self, step=0.1): self.step = step
    @property
    def half(self): return self.step / 2
    @staticmethod
    def twice(x): return 2 * x
"""


@pytest.mark.parametrize(
    ("old", "new", "differs"),
    [
        ("return self.step / 2", "return self.step / 3", True),  # within a property
        ("return 2 * x", "return 3 * x", True),  # within a static method
        ("return 1.0", "return 2.0", True),  # of its base
        ("top: float = 2.0", "top: float = 3.0", True),
        ("top: float = 2.0", "top: int = 2.0", False),
    ],
)
def test_classes_count_with_bases_and_members(old: str, new: str, differs: bool) -> None:
    one, other = (cell(text)["Mine"] for text in (CLASS, CLASS.replace(old, new)))
    assert (source_of(one).id != source_of(other).id) is differs
    assert (source_of(one(), one).id != source_of(other(), other).id) is differs


def test_objects_count_with_what_they_hold() -> None:
    mine = cell(CLASS)["Mine"]
    assert source_of(mine(0.1)).id == source_of(mine(0.1)).id != source_of(mine(0.2)).id


def test_data_counts_by_its_value() -> None:
    text = "def reward(before, after): return float(TABLE[0])"
    ids = {reward_id(text, TABLE=np.arange(n)) for n in (2, 2, 3)} | {reward_id(text, TABLE=torch.arange(2))}
    assert len(ids) == 2
    closure = "def make(k):\n    def reward(before, after): return k\n    return reward\nreward = make({})"
    assert reward_id(closure.format(1)) == reward_id(closure.format(1)) != reward_id(closure.format(2))


def test_what_is_installed_counts_by_its_name() -> None:
    text = "import numpy as np\ndef reward(before, after): return np.{}(0.0, before.kl)"
    assert reward_id(text.format("maximum")) != reward_id(text.format("minimum"))


def test_a_module_of_ones_own_counts_by_what_is_taken_from_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    helpers = "def scale(x): return {} * x\ndef other(x): return {}\n"
    found = []
    for number, values in enumerate([(2, 1), (2, 5), (3, 1)]):
        (tmp_path / f"own_helpers_{number}.py").write_text(helpers.format(*values))
        text = f"import own_helpers_{number} as helpers\ndef reward(before, after): return helpers.scale(before.kl)"
        found.append(source_of(cell(text)["reward"]))
    assert "def scale(x): return 2 * x" in found[0].texts.values()
    assert found[0].id == found[1].id != found[2].id


def test_an_edited_module_that_was_not_reloaded_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_stale.py").write_text("def reward(before, after): return 1.0\n")
    import own_stale  # pyright: ignore[reportMissingImports]

    source_of(own_stale.reward)
    (tmp_path / "own_stale.py").write_text("def reward(before, after): return 2.0\n")
    linecache.checkcache()
    with pytest.raises(ConfigError, match="reward must be what its file says, and is older: reload its module"):
        source_of(own_stale.reward)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def reward(b, a): return MODEL(b)", "reward, by its global 'MODEL', uses a Linear, of which no run's id"),
        ("def reward(b, a): return absent", "reward uses 'absent', which is not defined"),
        (
            "reward, other = lambda b, a: 1, lambda b, a: 2",
            "must be found once in its source, got 2: write it as a def",
        ),
    ],
)
def test_what_cannot_be_seen_is_refused_in_one_line(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        source_of(cell(text, MODEL=torch.nn.Linear(2, 2))["reward"])
    assert "\n" not in str(caught.value)


def test_code_without_source_is_refused() -> None:
    space: dict[str, Any] = {}
    exec("def reward(b, a): return 1.0", space)
    with pytest.raises(ConfigError, match="reward must have source that can be found"):
        source_of(space["reward"])


def test_another_process_reads_what_it_is_handed() -> None:
    reward = cell(REWARD)["reward"]
    known = source_of(reward)
    files = cells(reward)
    for name in files:
        del linecache.cache[name]
    with pytest.raises(ConfigError, match="must have source"):
        source_of(reward)
    keep_cells(files)
    assert source_of(reward) == known
