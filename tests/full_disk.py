"""A disk without room, as a process sees it."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def room_for(num_bytes: int, process: int = 0) -> Iterator[None]:
    """A process, and what it starts meanwhile, cannot write beyond the first `num_bytes` of any file: the kernel writes
    what fits, and then says EFBIG, where on a full disk it says ENOSPC. process: 0 is this one."""
    before = resource.prlimit(process, resource.RLIMIT_FSIZE)
    resource.prlimit(process, resource.RLIMIT_FSIZE, (num_bytes, before[1]))
    try:
        yield
    finally:
        resource.prlimit(process, resource.RLIMIT_FSIZE, before)
