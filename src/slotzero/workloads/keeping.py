"""The history of runs as a user works with it: add results, look for changes, have a suspicion decided."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

from slotzero.errors import UsageError
from slotzero.perf.compare.checkouts import commit_of, is_revision
from slotzero.perf.compare.document import CompareDocument, regressions
from slotzero.perf.history import History, Suspicion
from slotzero.perf.result_file import read_result_file
from slotzero.workloads.comparing import compare_revisions, workloads_for
from slotzero.workloads.paired import COMPONENTS

__all__ = ["Decided", "add_results", "decide", "measured_commit"]

_FULL_HASH: Final = re.compile(r"[0-9a-f]{40}")


class Decided(Struct, frozen=True, kw_only=True):
    """A suspicion and what a paired comparison of its two commits said.

    Attributes:
        document: None where the two cannot be compared; `reason` says why.
    """

    suspicions: tuple[Suspicion, ...]
    document: CompareDocument | None
    reason: str = ""

    @property
    def is_regression(self) -> bool:
        """Whether the comparison found one."""
        return self.document is not None and bool(regressions(self.document))


def measured_commit(name: str | None, folder: Path) -> str:
    """Return the full hash of the commit that results belong to. *Does I/O:* asks git.

    A name such as HEAD means another commit tomorrow, so names are never kept.

    Args:
        name: As git understands it, or a full hash that this repository need not have; None = what is checked out.
        folder: Somewhere in the repository.

    Returns:
        The hash; "" where no name was given and the folder is in no repository.

    Raises:
        UsageError: Git knows no such commit and it is no full hash.
    """
    if name is None:
        return commit_of("HEAD", folder) or ""
    known = commit_of(name, folder) if name else None
    if known is None and not _FULL_HASH.fullmatch(name.lower()):
        raise UsageError(
            f"--commit: git knows no commit {name!r} in {folder}; give a name it knows there or a hash of 40 digits"
        )
    return known or name.lower()


def add_results(history: History, files: Sequence[Path], *, commit: str) -> list[int]:
    """Store result files. Returns their numbers. *Does I/O.*

    Raises:
        UsageError: One is no benchmark result, or cannot be read; those before it are stored.
    """
    return [history.add(read_result_file(path), commit=commit) for path in files]


def decide(
    suspicions: Sequence[Suspicion], *, folder: Path, seed: int, report: Callable[[str], None] = lambda _text: None
) -> list[Decided]:
    """Compare the commits of each suspicion, paired, once for each pair of them. *Does I/O.*

    Args:
        suspicions: As the history tells them.
        folder: Somewhere in the repository the commits belong to.
        seed: Of the order of blocks.
        report: Told of the progress.
    """
    pairs: dict[tuple[str, str], list[Suspicion]] = {}
    for suspicion in suspicions:
        pairs.setdefault((suspicion.before, suspicion.after), []).append(suspicion)
    return [
        _decided(before, after, found, folder=folder, seed=seed, report=report)
        for (before, after), found in pairs.items()
    ]


def _decided(
    before: str,
    after: str,
    found: Sequence[Suspicion],
    *,
    folder: Path,
    seed: int,
    report: Callable[[str], None],
) -> Decided:
    names = [suspicion.name.partition(" on ")[0] for suspicion in found]
    components = [name for name in dict.fromkeys(names) if name in COMPONENTS]
    reason = ""
    if before == after:
        reason = f"both runs are of commit {before}: it is not the code that changed"
    elif not components:
        reason = f"{names[0]} is no component that can be measured by its name; compare it with --workload"
    elif unknown := [commit for commit in (before, after) if not commit or not is_revision(commit, folder)]:
        reason = f"git knows no commit {unknown[0] or '(none was given)'} in {folder}"
    if reason:
        return Decided(suspicions=tuple(found), document=None, reason=reason)
    workloads = workloads_for(components, ())
    try:
        document = compare_revisions(
            before, after, folder=folder, workloads=workloads, seed=seed, loops=("uvloop", "uvloop"), report=report
        )
    except UsageError as error:
        return Decided(suspicions=tuple(found), document=None, reason=str(error))
    return Decided(suspicions=tuple(found), document=document)
