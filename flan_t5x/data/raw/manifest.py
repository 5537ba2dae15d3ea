"""What raw data there is: each source, where it comes from, and what its files must look like.

A manifest is a TOML file with one ``[[source]]`` table per source:

    name = "my_news"                   # letters, digits, underscores
    about = "what it is"
    use = "train"                      # or "evaluation": never to be trained on
    licence = "CC BY 4.0"
    home = "https://..."               # where a person reads about it
    kind = "files"

and, by kind:

    files     `folder` below the data folder, `url` (or `urls`, mirrors in order) with ``{file}``,
              and `files`: tables {file, size, sha256 or git_blob, at}; or `list`, the name of a
              tab-separated file beside the manifest with those columns and a header. `at` is what
              ``{file}`` becomes in the address, where that is not the file's own name.
    archive   `folder`, `url` of a tar file and `members`: a pattern of its files that belong there.
    tfds      `builder`, as ``name[/config]:version``: prepared by TensorFlow Datasets itself.
    manual    `pattern` of the files below the data folder, and `manual`: the step a person takes.
"""

from __future__ import annotations

import re
import tomllib
import urllib.parse
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Any

from flan_t5x.errors import UserError, nearest

KINDS = ("files", "archive", "tfds", "manual")
USES = ("train", "evaluation")
DIGESTS = {"sha256": 64, "git_blob": 40}
"""Kinds of checksum and their lengths in hex digits; git_blob is what git calls a file's id."""

_TEXTS = ("name", "about", "use", "licence", "home", "kind")
_FIELDS: dict[str, tuple[str, ...]] = {
    "files": ("folder", "url", "urls", "files", "list"),
    "archive": ("folder", "url", "members"),
    "tfds": ("builder", "manual"),
    "manual": ("pattern", "manual"),
}
_FILE_FIELDS = ("file", "size", "sha256", "git_blob", "at")
_NAME = re.compile(r"[A-Za-z0-9_]+")


@dataclass(frozen=True)
class RawFile:
    """One file of raw data.

    Attributes:
        path: where it belongs below the data folder, with ``/``.
        urls: where it can be fetched, the first one first.
        size: bytes; None where that is not known.
        digest: (kind, hex digits), kind being a key of `DIGESTS`; None where it is not known.
    """

    path: str
    urls: tuple[str, ...]
    size: int | None = None
    digest: tuple[str, str] | None = None


@dataclass(frozen=True)
class RawSource:
    """One source of raw data; which attributes are set depends on its kind, see the module.

    Attributes:
        name: how the command calls it.
        about: what it is, one line.
        use: "train" or "evaluation".
        licence: as its authors state it.
        home: where a person reads about it.
        kind: one of `KINDS`.
        folder: below the data folder.
        files: what must be there; empty for other kinds than "files".
        url: of an archive.
        members: glob of the archive's files that are unpacked.
        builder: of TensorFlow Datasets.
        pattern: glob of what a person puts there.
        manual: the step that only a person can take; empty where there is none.
    """

    name: str
    about: str
    use: str
    licence: str
    home: str
    kind: str
    folder: str = ""
    files: tuple[RawFile, ...] = ()
    url: str = ""
    members: str = ""
    builder: str = ""
    pattern: str = ""
    manual: str = ""

    @property
    def size(self) -> int | None:
        """Bytes of all files; None where one of them is not known."""
        sizes = [file.size for file in self.files]
        return None if not sizes or None in sizes else sum(s for s in sizes if s is not None)


def load_manifests(own: Sequence[str | Path] = ()) -> dict[str, RawSource]:
    """The sources that ship with the package, then the user's; a later one of a name wins.

    Args:
        own: paths of further manifests.

    Raises:
        UserError: a manifest cannot be read, or holds something wrong.
    """
    found: dict[str, RawSource] = {}
    shipped = resources.files("flan_t5x.data.raw") / "manifests"
    for entry in sorted(shipped.iterdir(), key=lambda e: e.name):
        if entry.name.endswith(".toml"):
            with resources.as_file(entry) as path:
                found |= read_manifest(path)
    for name in own:
        found |= read_manifest(Path(name).expanduser())
    return found


def choose(sources: Mapping[str, RawSource], only: Sequence[str]) -> list[RawSource]:
    """The sources whose names match one of the patterns; all of them where there are none.

    Args:
        sources: by name.
        only: names, or patterns such as ``tfds_wmt*``.

    Raises:
        UserError: a pattern that matches nothing, with near names.
    """
    for pattern in only:
        if not any(fnmatchcase(name, pattern) for name in sources):
            hint = nearest(pattern, sources) or "`flan-t5x data list` shows all of them"
            raise UserError(f"there is no raw source named {pattern!r}: {hint}")
    return [
        source
        for name, source in sources.items()
        if not only or any(fnmatchcase(name, pattern) for pattern in only)
    ]


def read_manifest(path: Path) -> dict[str, RawSource]:
    """The sources of one manifest, by name.

    Raises:
        UserError: naming the file, the source and the field.
    """
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise UserError(f"cannot read the manifest {str(path)!r}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"the manifest {str(path)!r} is not TOML: {error}") from error
    entries = content.get("source")
    if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
        raise UserError(f"the manifest {str(path)!r} has no [[source]] tables")
    found: dict[str, RawSource] = {}
    for number, entry in enumerate(entries, start=1):
        source = _source(entry, f"{path.name}, source {entry.get('name', number)!r}", path.parent)
        if source.name in found:
            raise UserError(f"{path.name} has two sources named {source.name!r}")
        found[source.name] = source
    return found


def _source(entry: Mapping[str, Any], where: str, folder: Path) -> RawSource:
    """One table as a source. Raises UserError."""
    for name in _TEXTS:
        if not isinstance(entry.get(name), str) or not entry[name].strip():
            raise UserError(f"{where}: the text {name!r} is missing")
    kind = entry["kind"]
    if kind not in KINDS:
        raise UserError(f"{where}: kind = {kind!r}; use {', '.join(KINDS)}")
    if entry["use"] not in USES:
        raise UserError(f"{where}: use = {entry['use']!r}; use {', '.join(USES)}")
    if not _NAME.fullmatch(entry["name"]):
        raise UserError(f"{where}: name = {entry['name']!r}; use letters, digits and underscores")
    _check_names(entry, (*_TEXTS, *_FIELDS[kind]), where)
    texts: dict[str, Any] = {
        name: _text(entry, name, where) for name in ("builder", "pattern", "manual")
    }
    needed = {"tfds": ("builder",), "manual": ("pattern", "manual")}.get(kind, ("folder",))
    for name in needed + (("url", "members") if kind == "archive" else ()):
        if not _text(entry, name, where):
            raise UserError(f"{where}: a source of kind {kind!r} needs {name!r}")
    common: dict[str, Any] = {name: entry[name] for name in _TEXTS}
    if kind not in ("files", "archive"):
        return RawSource(**common, **texts)
    base = _below(entry["folder"], where)
    if kind == "archive":
        url = _address(entry["url"], where)
        return RawSource(**common, folder=base, url=url, members=entry["members"])
    files = tuple(
        _file(row, base, _addresses(entry, where), f"{where}, file {row.get('file')!r}")
        for row in _rows(entry, where, folder)
    )
    return RawSource(**common, folder=base, files=files)


def _rows(entry: Mapping[str, Any], where: str, folder: Path) -> Iterable[Mapping[str, Any]]:
    """The rows of `files`, or of the file that `list` names."""
    rows, named = entry.get("files"), _text(entry, "list", where)
    if (rows is None) == (not named):
        raise UserError(f"{where}: give either 'files' or 'list'")
    if rows is not None:
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows) or not rows:
            raise UserError(f"{where}: files must be a list of tables")
        return rows
    try:
        lines = (folder / named).read_text("utf-8").splitlines()
    except OSError as error:
        raise UserError(f"{where}: cannot read the list {named!r}: {error.strerror}") from error
    if len(lines) < 2:
        raise UserError(f"{where}: the list {named!r} has no rows")
    header = lines[0].split("\t")
    cells = ({k: v for k, v in zip(header, line.split("\t"), strict=False) if v} for line in lines)
    return [
        {**row, "size": int(row["size"])} if row.get("size", "").isdecimal() else row
        for row in list(cells)[1:]
    ]


def _file(row: Mapping[str, Any], base: str, urls: Sequence[str], where: str) -> RawFile:
    _check_names(row, _FILE_FIELDS, where)
    name = _text(row, "file", where)
    if not name:
        raise UserError(f"{where}: the text 'file' is missing")
    size = row.get("size")
    if size is not None and (not isinstance(size, int) or isinstance(size, bool) or size < 0):
        raise UserError(f"{where}: size = {size!r}; a number of bytes is needed")
    at = urllib.parse.quote(_text(row, "at", where) or name)
    return RawFile(
        path=_below(f"{base}/{name}", where),
        urls=tuple(url.replace("{file}", at) for url in urls),
        size=size,
        digest=_digest(row, where),
    )


def _digest(row: Mapping[str, Any], where: str) -> tuple[str, str] | None:
    given = [(kind, _text(row, kind, where)) for kind in DIGESTS if kind in row]
    if len(given) > 1:
        raise UserError(f"{where}: give one of {', '.join(DIGESTS)}, not both")
    for kind, digits in given:
        if not re.fullmatch(rf"[0-9a-f]{{{DIGESTS[kind]}}}", digits):
            raise UserError(
                f"{where}: {kind} = {digits!r}; {DIGESTS[kind]} hexadecimal digits in small "
                "letters are needed"
            )
    return given[0] if given else None


def _addresses(entry: Mapping[str, Any], where: str) -> tuple[str, ...]:
    given = entry.get("urls", [entry["url"]] if "url" in entry else [])
    if not isinstance(given, list) or not given or ("url" in entry and "urls" in entry):
        raise UserError(f"{where}: give either 'url' or the list 'urls'")
    return tuple(_address(url, where) for url in given)


def _address(url: Any, where: str) -> str:
    if not isinstance(url, str) or not url.startswith(("https://", "http://")):
        raise UserError(f"{where}: {url!r} is not an http or https address")
    return url


def _below(path: str, where: str) -> str:
    """A path that cannot lead out of the data folder. Raises UserError."""
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or "\\" in path or not pure.parts:
        raise UserError(f"{where}: {path!r} is not a path below the data folder")
    return str(pure)


def _text(entry: Mapping[str, Any], name: str, where: str) -> str:
    value = entry.get(name, "")
    if not isinstance(value, str):
        raise UserError(f"{where}: {name} = {value!r}; text is needed")
    return value


def _check_names(entry: Mapping[str, Any], known: Sequence[str], where: str) -> None:
    for name in entry:
        if name not in known:
            hint = nearest(name, known) or f"known are {', '.join(known)}"
            raise UserError(f"{where}: there is no field {name!r}; {hint}")
