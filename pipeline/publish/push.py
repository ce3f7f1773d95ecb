"""Sending a version to a dataset repository of the Hugging Face Hub.

One commit holds all that changes, so that a reader of the repository sees a whole version or the one
before. Ahead of it the large files are uploaded under the hash of their content, each for itself:
what a push that was stopped had finished is there, and the next one goes on behind it. The token is
the Hub's own (HF_TOKEN, or `hf auth login`); it is written nowhere.
"""

import contextlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from winnow.pipeline.errors import UsageError, WinnowError
from winnow.pipeline.publish.parquet import sha256
from winnow.pipeline.publish.version import RUN, SUMS, Version, read_sums, verify_version

_KIND = "dataset"


@dataclass(frozen=True)
class Pushed:
    """What a push did: files by relative path, `size` in bytes of those that were sent.

    `commit` is the revision that holds the version; it is older where nothing was missing.
    """

    repo: str
    url: str
    commit: str
    sent: tuple[str, ...]
    size: int
    kept: tuple[str, ...]
    removed: tuple[str, ...]


def push(
    version: Version,
    repo: str,
    *,
    private: bool = False,
    revision: str | None = None,
    endpoint: str | None = None,
    with_run: bool = False,
) -> Pushed:
    """Upload `version` to the dataset repository `repo` (user/name), which is made where there is
    none, and check the hash of every file that stands there afterwards.

    Files of an earlier version that this one has not are removed in the same commit; files that no
    version brought (such as .gitattributes) stay. `revision` is a branch, made where there is none;
    `with_run` sends run.json, the times and costs, too.

    Raises UsageError without a token, with HF_HUB_OFFLINE set, for a `repo` or `endpoint` that cannot
    be one, and for `private` where the repository is public; WinnowError where the version is damaged,
    the Hub refuses, or the connection breaks: the same call goes on from there.
    """
    problems = verify_version(version.path)
    if problems:
        raise WinnowError(f"{problems[0]}; nothing was sent")
    files = _files(version.path, with_run)
    api = _api(repo, endpoint)
    with _explained(repo, api):
        # Asked first, because a token may write to a repository and not be allowed to make one.
        if not api.repo_exists(repo, repo_type=_KIND):
            api.create_repo(repo, repo_type=_KIND, private=private or None, exist_ok=True)
        if revision is not None:
            api.create_branch(repo, repo_type=_KIND, branch=revision, exist_ok=True)
        info = api.repo_info(repo, repo_type=_KIND, revision=revision)
        if private and not info.private:
            raise UsageError(
                f"{repo}: is public already; make it private on the Hub, or leave out --private"
            )
        there = _remote(api, repo, info.sha)
        missing = [name for name, path in files.items() if not _equal(there.get(name), path)]
        old = _left_over(api, repo, info.sha, there, files)
        commit = info.sha
        if missing or old:
            commit = _commit(
                api, version, repo, revision, info.sha, {n: files[n] for n in missing}, old
            )
            there = _remote(api, repo, commit)
    wrong = [name for name, path in files.items() if not _equal(there.get(name), path)]
    if wrong:
        raise WinnowError(f"{repo}@{commit}: {wrong[0]} is not what was sent; push again")
    kept = tuple(name for name in files if name not in missing)
    size = sum(files[name].stat().st_size for name in missing)
    url = f"{api.endpoint}/datasets/{repo}"
    return Pushed(repo, url, commit, tuple(missing), size, kept, tuple(old))


def _files(folder: Path, with_run: bool) -> dict[str, Path]:
    """The version's files by their relative path; WinnowError for one outside of its folder."""
    names = [*sorted(read_sums(folder)), SUMS]
    if with_run and (folder / RUN).is_file():
        names.append(RUN)
    for name in names:
        inside = (folder / name).resolve().is_relative_to(folder.resolve())
        if not inside or PurePosixPath(name).is_absolute():
            raise WinnowError(
                f"{folder / SUMS}: names {name}, which is not in the version's folder"
            )
    return {name: folder / name for name in names}


def _api(repo: str, endpoint: str | None) -> Any:
    from huggingface_hub import HfApi, constants, get_token
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise UsageError(f"{repo}: cannot be a repository: {_line(error)}") from None
    if "/" not in repo:
        raise UsageError(f"{repo}: needs its owner, such as user/{repo}")
    if constants.HF_HUB_OFFLINE:
        raise UsageError(
            "HF_HUB_OFFLINE is set, which keeps everything on this machine; unset it to push"
        )
    if endpoint is not None:
        parts = urlsplit(endpoint)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
            raise UsageError(
                f"--endpoint: {endpoint!r} is no address such as https://huggingface.co"
            )
    if not get_token():
        raise UsageError(
            "no token: set HF_TOKEN to one that may write, or log in with `hf auth login`"
        )
    return HfApi(endpoint=endpoint.rstrip("/") if endpoint else None, library_name="winnow")


def _remote(api: Any, repo: str, commit: str) -> dict[str, Any]:
    """The repository's files (huggingface_hub.RepoFile) by path."""
    tree = api.list_repo_tree(repo, repo_type=_KIND, revision=commit, recursive=True)
    return {entry.path: entry for entry in tree if hasattr(entry, "blob_id")}


def _equal(there: Any, path: Path) -> bool:
    """Whether a file of the repository holds what `path` does: by SHA-256 where the Hub tells it (large
    files), else by git's own hash."""
    from huggingface_hub.utils.sha import git_hash

    if there is None or there.size != path.stat().st_size:
        return False
    if there.lfs is not None:
        return bool(there.lfs.sha256 == sha256(path))
    return bool(there.blob_id == git_hash(path.read_bytes()))


def _left_over(
    api: Any, repo: str, commit: str, there: Mapping[str, Any], files: Mapping[str, Path]
) -> list[str]:
    """Files of the version that stood there before, by its SHA256SUMS, that are in this one no more."""
    if SUMS not in there:
        return []
    with tempfile.TemporaryDirectory(prefix="winnow-push-") as folder:
        api.hf_hub_download(repo, SUMS, repo_type=_KIND, revision=commit, local_dir=folder)
        try:
            before = {*read_sums(Path(folder)), RUN}
        except WinnowError:  # nobody can say which files are a version's: all stay
            return []
    return sorted(name for name in before if name in there and name not in files)


def _commit(
    api: Any,
    version: Version,
    repo: str,
    revision: str | None,
    parent: str,
    missing: Mapping[str, Path],
    old: Sequence[str],
) -> str:
    """Upload `missing` and remove `old`, in one commit on top of `parent`; returns its name."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    operations = [
        *(CommitOperationAdd(name, str(path)) for name, path in missing.items()),
        *(CommitOperationDelete(name, is_folder=False) for name in old),
    ]
    made = api.create_commit(
        repo,
        operations,
        repo_type=_KIND,
        revision=revision,
        commit_message=f"winnow {version.ref}",
        parent_commit=parent,
    )
    return str(made.oid)


@contextlib.contextmanager
def _explained(repo: str, api: Any) -> Iterator[None]:
    """What the Hub or the network says, as one line that names the repository and holds no token."""
    from huggingface_hub.errors import HTTPError

    try:
        yield
    except WinnowError:
        raise
    except (HTTPError, OSError, ValueError, RuntimeError) as error:
        # An upload thread's error says little; what it comes from does.
        cause = error.__cause__ if isinstance(error, RuntimeError) and error.__cause__ else error
        status = getattr(getattr(cause, "response", None), "status_code", None)
        if status == 401:
            raise WinnowError(
                f"{api.endpoint}: does not accept the token (401); set HF_TOKEN to one that may write to "
                f"{repo}, or log in with `hf auth login`"
            ) from None
        if status == 403:
            raise WinnowError(f"{api.endpoint}: the token may not write to {repo} (403)") from None
        raise WinnowError(
            f"{repo}: {type(cause).__name__}: {_line(cause)}; what was uploaded is kept, and the same "
            "command goes on from there"
        ) from None


def _line(error: BaseException, limit: int = 300) -> str:
    from huggingface_hub import get_token

    text = " ".join(str(error).split())
    token = get_token()
    return (text.replace(token, "***") if token else text)[:limit]
