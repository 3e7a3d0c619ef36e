"""The README as a package index shows it: built into the metadata of wheel and source archive.

An index has no files of the repository. Where `[project.urls]` declares a Repository, links and
pictures lead there, to the tag of this version; without one, a link to a file is its text, and a
picture is left out.
"""

import re
from pathlib import Path

from hatchling.metadata.plugin.interface import MetadataHookInterface

# A target without a scheme that does not lead to a heading of the same page.
_FILE = r"(?![a-z][a-z+.-]*:|#|//)(?P<path>[^)\s]+)"
_PICTURE = re.compile(rf"!\[(?P<text>[^\]]*)\]\({_FILE}\)\n*")
_LINK = re.compile(rf"(?<!!)\[(?P<text>[^\]]*)\]\({_FILE}\)")


def index_readme(text: str, repository: str | None, version: str) -> str:
    """README.md without a relative link or picture.

    Args:
        text: The file.
        repository: Address of the repository's page, or None.
        version: Version of the package, whose tag is v and the version.
    """
    if repository is None:
        return _LINK.sub(r"\g<text>", _PICTURE.sub("", text))
    place, tag = repository.rstrip("/"), f"v{version}"
    text = _PICTURE.sub(lambda found: _absolute(found, f"{place}/raw/{tag}"), text)
    return _LINK.sub(lambda found: _absolute(found, f"{place}/blob/{tag}"), text)


def _absolute(found: re.Match[str], folder: str) -> str:
    return found.group().replace(f"]({found['path']})", f"]({folder}/{found['path']})")


class IndexReadme(MetadataHookInterface):
    """Runs whenever the project is built."""

    def update(self, metadata: dict) -> None:
        """Put the text into the metadata."""
        text = Path(self.root, "README.md").read_text(encoding="utf-8")
        repository = metadata.get("urls", {}).get("Repository")
        metadata["readme"] = {
            "content-type": "text/markdown",
            "text": index_readme(text, repository, metadata["version"]),
        }
