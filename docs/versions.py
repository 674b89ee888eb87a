"""List the versions of the site that are in a folder, for those who read one of them.

    python -m docs.versions FOLDER

The folder has a subfolder for each version, named like it, into which Sphinx has built the site.
`versions.json` names them, newest first, and each page shows this list (`_static/versions.js`);
`index.html` leads to the newest that is not a pre-release.
"""

import argparse
import json
from pathlib import Path

from packaging.version import InvalidVersion, Version

HOME = """<!doctype html>
<html lang="en">
<title>schedalg</title>
<meta http-equiv="refresh" content="0; url={0}/">
<a href="{0}/">schedalg {0}</a>
</html>
"""


def published(folder: Path) -> list[tuple[Version, str]]:
    """Return the versions that are in a folder and the names of their folders, newest first."""
    found = []
    for page in folder.glob("*/index.html"):
        try:
            found.append((Version(page.parent.name), page.parent.name))
        except InvalidVersion:  # another folder
            continue
    return sorted(found, reverse=True)


def write(folder: Path) -> list[str]:
    """Write the list of versions and the page that leads to the newest, and return the list.

    Raises:
        ValueError: There is no version in the folder.
    """
    versions = published(folder)
    if not versions:
        raise ValueError(
            f"{folder} must have a subfolder with the site of a version, such as 0.1.0"
        )
    names = [name for _, name in versions]
    newest = next((name for version, name in versions if not version.is_prerelease), names[0])
    (folder / "versions.json").write_text(json.dumps(names) + "\n", encoding="utf-8")
    (folder / "index.html").write_text(HOME.format(newest), encoding="utf-8")
    return names


def main() -> None:
    """List the versions in the folder that the command names."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="has a subfolder for each version")
    print(*write(parser.parse_args().folder), sep="\n")


if __name__ == "__main__":
    main()
