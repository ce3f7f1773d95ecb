"""Runs a Python script as an ordinary user, from root:

    python as_user.py UID HOME SCRIPT ARGUMENT...

The interpreter and the project may lie where only root can go. So the script runs in a mount
namespace of its own, in which every folder on the way that others may not enter is covered by an
empty one, with what is needed shown in it again.
"""

import os
import stat
import sys
import sysconfig
import tempfile
from pathlib import Path

from winnow.pipeline.verify import sandbox
from winnow.pipeline.verify.sandbox.inside import kernel


def closed_ancestor(path: Path) -> Path | None:
    """The outermost folder on the way to `path` (which included) that others may not enter."""
    for folder in [*reversed(path.parents), path]:
        if not folder.stat().st_mode & stat.S_IXOTH:
            return folder
    return None


def needed() -> list[Path]:
    """What Python, the installed packages and this project are read from."""
    package = Path(sandbox.__file__).resolve()
    project = next(folder for folder in package.parents if (folder / "pyproject.toml").exists())
    packages = Path(sysconfig.get_path("purelib"))
    prefixes = (Path(sys.base_prefix), Path(sys.prefix), packages)
    return [path.resolve() for path in (*prefixes, project)]


def open_the_way(paths: list[Path]) -> None:
    """Make `paths` reachable for everyone, in this process and its children only."""
    kernel.unshare(kernel.NEWNS)
    kernel.mount("none", "/", "", kernel.MS_REC | kernel.MS_PRIVATE)
    closed = {path: closed_ancestor(path) for path in paths}
    behind = {path: folder for path, folder in closed.items() if folder is not None}
    if not behind:
        return
    holder = tempfile.mkdtemp(prefix="winnow-as-user-")
    kernel.mount("none", holder, "tmpfs", 0, "mode=755")
    for number, path in enumerate(behind):
        saved = Path(holder, str(number))
        saved.mkdir()
        kernel.mount(str(path), str(saved), "", kernel.MS_BIND | kernel.MS_REC)
    for folder in set(behind.values()):
        kernel.mount("none", str(folder), "tmpfs", 0, "mode=755")
    for number, path in enumerate(behind):
        path.mkdir(parents=True, exist_ok=True)
        kernel.mount(str(Path(holder, str(number))), str(path), "", kernel.MS_BIND | kernel.MS_REC)
    kernel.detach(holder)
    Path(holder).rmdir()


def main() -> None:
    user, home, script = int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]).resolve()
    os.umask(0o022)
    open_the_way([*needed(), script.parent])
    os.chown(home, user, user)
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    environment = {"HOME": home, "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
    os.chdir(home)
    command = [sys.executable, "-B", str(script), *sys.argv[4:]]
    os.execve(sys.executable, command, environment)


if __name__ == "__main__":
    main()
