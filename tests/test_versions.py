"""That the versions of the site are listed in their order, and the newest is its home."""

import json
from pathlib import Path

import pytest

from docs.versions import write


def site(folder: Path, *versions: str) -> Path:
    for version in versions:
        (folder / version).mkdir()
        (folder / version / "index.html").touch()
    return folder


def test_versions_are_listed_by_number_and_nothing_else_is(tmp_path: Path) -> None:
    (site(tmp_path, "0.9.0", "0.10.0", "0.10.0rc1", "images") / "1.0.0").mkdir()  # not built
    assert write(tmp_path) == ["0.10.0", "0.10.0rc1", "0.9.0"]
    assert json.loads((tmp_path / "versions.json").read_text()) == ["0.10.0", "0.10.0rc1", "0.9.0"]


@pytest.mark.parametrize(
    ("versions", "newest"), [(("0.1.0", "0.2.0rc1"), "0.1.0"), (("0.1.0rc1",), "0.1.0rc1")]
)
def test_home_is_the_newest_release(tmp_path: Path, versions: tuple[str, ...], newest: str) -> None:
    write(site(tmp_path, *versions))
    assert f"url={newest}/" in (tmp_path / "index.html").read_text()


def test_a_folder_without_a_version_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"must have a subfolder .* such as 0\.1\.0"):
        write(site(tmp_path, "images"))
