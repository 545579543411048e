"""The numbers beside a figure are those that are drawn, under the names that are drawn."""

from pathlib import Path

import pandas as pd
from recorded_runs import Records, score_at

from optima_lab.report.figures import dynamics, style
from optima_lab.report.figures import scores as draw


def read(paths: list[Path]) -> pd.DataFrame:
    (path,) = [path for path in paths if path.suffix == ".csv"]
    return pd.read_csv(path, keep_default_na=False)


def test_bars_dots_and_lines_across(three: Records, tmp_path: Path) -> None:
    table = read(style.save(draw.module_contribution(three.evals), tmp_path, "bars"))
    bars = table[table["kind"] == "bar"].set_index("x")["y"].astype(float)
    expected = [sum(score_at(arm, 200, seed) for seed in range(3)) / 3 for arm in draw.SINGLE]
    assert [name.split()[0] for name in bars.index] == ["Img", "Txt", "Multi"]
    assert (bars.to_numpy() - expected < 1e-3).all()
    assert len(table[table["kind"] == "dot"]) == 9
    assert table.loc[table["kind"] == "line across", "name"].str.startswith("no distillation").all()


def test_cells_of_a_heat_map_and_lines_by_name(one: Records, tmp_path: Path) -> None:
    cells = read(style.save(dynamics.arm_frequency(one.rounds, ("optima",)), tmp_path, "plays"))
    shares = cells[cells["kind"] == "cell"]
    assert (
        set(shares["y"]) >= {"Img", "Img+Txt+Multi"}
        and shares["value"].astype(float).groupby(shares["x"]).sum().round().eq(100).all()
    )
    lines = read(style.save(dynamics.reward_means(one.rounds, ("optima",)), tmp_path, "means"))
    assert {"Img", "Img+Txt+Multi (LWD)"} <= set(lines["name"])


def test_pictures_have_none(tmp_path: Path) -> None:
    assert [path.suffix for path in style.save(draw.samples([]), tmp_path, "samples")] == [".svg", ".png", ".pdf"]
