"""Sources that come as one tar file, of which some members belong into a folder."""

from __future__ import annotations

import contextlib
import tarfile
import time
import zlib
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from flan_t5x.data.raw.checks import Record, digest_of
from flan_t5x.data.raw.manifest import RawFile, RawSource
from flan_t5x.data.raw.transfer import Policy, Transfer, TransferError, disk_error


def fetch_archive(source: RawSource, root: Path, record: Record, policy: Policy) -> None:
    """Fetches a source's archive and unpacks its members, each put into its place as a whole.

    The archive itself is removed once all of them are in place and written down.

    Raises:
        TransferError: it cannot be had, is not a tar file, or has none of the members.
    """
    folder = root / source.folder
    archive = root / f".{source.name}.tar"
    if not archive.is_file():
        file = RawFile(archive.name, (source.url,))
        Transfer(file, archive, policy, time.sleep).run()
    try:
        made = _unpack(archive, source.members, folder)
    except (tarfile.TarError, EOFError, zlib.error) as error:
        archive.unlink(missing_ok=True)
        raise TransferError(f"{source.url} is not a whole tar file ({error})") from error
    except OSError as error:
        raise disk_error(error, folder) from error
    if not made:
        archive.unlink()
        raise TransferError(f"{source.url} has no files {source.members!r}")
    for path in made:
        record.add(f"{source.folder}/{path.name}", path.stat().st_size, digest_of(path, "sha256"))
    archive.unlink()


def _unpack(archive: Path, members: str, folder: Path) -> list[Path]:
    """Writes the members that match, without the folders that they lie in inside."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    with tarfile.open(archive) as tar:
        for member in tar:
            if not member.isfile() or not fnmatchcase(member.name, members):
                continue
            path = folder / PurePosixPath(member.name).name
            content = tar.extractfile(member)
            if content is None:
                continue
            partial = Path(f"{path}.part")
            with contextlib.closing(content), partial.open("wb") as out:
                while block := content.read(1 << 20):
                    out.write(block)
            partial.replace(path)
            made.append(path)
    return made
