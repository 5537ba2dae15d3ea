"""One builder per task: an advisory lock on a file in the task's cache folder.

The lock goes away with its process, however that ends. Its file stays: deleting it would let
two processes hold locks on two files of the same name.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

from flan_t5x.errors import UserError

LOCK = ".lock"


class TaskLock:
    """An exclusive lock, held from a successful `take` until `release`.

    Args:
        directory: the task's folder, which exists.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / LOCK
        self._fd = -1

    def take(self) -> bool:
        """Takes the lock if it is free; False where another process has it.

        Raises:
            UserError: where the file cannot be opened or the file system has no locks.
        """
        fd = -1
        try:
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(fd, 0)
            os.pwrite(fd, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        except OSError as error:
            if fd >= 0:
                os.close(fd)
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES) and fd >= 0:
                return False
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise UserError(
                f"cannot lock {self._path}: {error.strerror}. Choose a cache_dir that is "
                "writable and on a file system with locks."
            ) from error
        self._fd = fd
        return True

    def wait(self, say: Callable[[str], None], *, poll_seconds: float = 0.2) -> None:
        """Takes the lock, however long that takes; says once whom it is waiting for."""
        told = False
        while not self.take():
            if not told:
                say(f"waiting for {self.holder()}, which is building {self._path.parent}")
                told = True
            time.sleep(poll_seconds)

    def holder(self) -> str:
        """Who holds the lock, e.g. ``"process 17 on host-a"``."""
        try:
            return self._path.read_text("utf-8", errors="replace").strip() or "another process"
        except OSError:
            return "another process"

    def release(self) -> None:
        """Gives the lock back; does nothing where it is not held."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
