import json
from pathlib import Path

import pytest

from training.stage import StageError, fresh_folder, read_json, write_json


def test_a_failing_stage_leaves_the_folder_as_it_was(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "weights").write_text("old")
    with pytest.raises(ZeroDivisionError), fresh_folder(folder) as partial:
        (partial / "weights").write_text("half")
        raise ZeroDivisionError
    assert (folder / "weights").read_text() == "old"
    assert [place.name for place in tmp_path.iterdir()] == ["model"]


def test_a_stage_that_ends_well_replaces_the_whole_folder(tmp_path: Path) -> None:
    folder = tmp_path / "build" / "model"
    for content in ("first", "second"):
        with fresh_folder(folder) as partial:
            (partial / content).write_text(content)
    assert [file.name for file in folder.iterdir()] == ["second"]
    assert [place.name for place in folder.parent.iterdir()] == ["model"]


def test_what_a_killed_stage_left_is_cleared_away(tmp_path: Path) -> None:
    (tmp_path / ".model.partial").mkdir()
    (tmp_path / ".model.partial" / "rest").touch()
    with fresh_folder(tmp_path / "model"):
        pass
    assert list((tmp_path / "model").iterdir()) == []


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StageError, match="file.* cannot be written .*--build FOLDER"):
        with fresh_folder(tmp_path / "file" / "model"):
            pass


def test_json_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    file = tmp_path / "metrics.json"
    write_json(file, {"accuracy": 0.5})
    with pytest.raises(ValueError):
        write_json(file, {"accuracy": float("nan")})
    assert json.loads(file.read_text()) == {"accuracy": 0.5}
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("content", ["", '{"accuracy": 0.', "not json"])
def test_a_damaged_file_names_the_command_that_makes_it(tmp_path: Path, content: str) -> None:
    (tmp_path / "metrics.json").write_text(content)
    with pytest.raises(StageError, match="damaged.*python -m training evaluate"):
        read_json(tmp_path / "metrics.json", "python -m training evaluate")
