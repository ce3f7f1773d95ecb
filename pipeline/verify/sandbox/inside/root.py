"""The root that programs see: Python's own files, read-only, in a file system made for them."""

# pathlib would be in the memory of every program.
# ruff: noqa: PTH102, PTH103, PTH110, PTH112, PTH114, PTH115, PTH120, PTH123, PTH208, PTH211

import os

from . import kernel

SCRATCH = "/scratch"
FILES = "/files"
SCRATCH_BYTES = 64 * 2**20
_FILES_BYTES = 4 * 2**30  # of memory, taken only as files are put there
_SYSTEM = (
    "/lib", "/lib32", "/lib64", "/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/local/lib",
    "/usr/share/zoneinfo", "/etc/ld.so.cache", "/etc/localtime", "/nix/store",
)  # fmt: skip
_DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom")
# Folders that every Linux has and that hold no Python: where the new root is mounted at first.
_PLACES = ("/sys", "/mnt", "/media", "/srv", "/run")
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}


def library_folders() -> set[str]:
    """Folders of the shared libraries that are loaded here, and of those that others load."""
    found = {path for path in _SYSTEM if os.path.exists(path)}
    with open("/proc/self/maps") as maps:
        for line in maps:
            fields = line.rstrip("\n").split(maxsplit=5)
            if len(fields) == 6 and fields[5].startswith("/") and ".so" in fields[5]:
                found.add(os.path.dirname(fields[5]))
    return {path for path in found if path != "/" and os.path.exists(path)}


def build(shown: list[str]) -> None:
    """Leave the root of this mount namespace for a new one that holds `shown`, a folder for scratch
    and an empty folder for files. Afterwards nothing else of the host can be named."""
    kernel.mount("none", "/", "", kernel.MS_REC | kernel.MS_PRIVATE)
    place = next(
        place for place in _PLACES
        if os.path.isdir(place) and not any(path.startswith(place) for path in shown)
    )  # fmt: skip
    flags = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC
    kernel.mount("winnow", place, "tmpfs", kernel.MS_NOSUID, "size=1m,nr_inodes=4096,mode=755")
    for path in shown:
        if not any(path.startswith(f"{other}/") for other in shown):
            _show(path, place)
    for device in _DEVICES:
        _show(device, place, nodev=False)
    os.mkdir(place + FILES)
    kernel.mount("files", place + FILES, "tmpfs", flags, f"size={_FILES_BYTES},mode=755")
    os.mkdir(place + SCRATCH)
    if not any(path.startswith("/tmp/") for path in shown):
        os.symlink(SCRATCH, f"{place}/tmp")
    os.chdir(place)
    # The old root goes on top of the new one, and from there away.
    kernel.system_call(_PIVOT_ROOT[os.uname().machine], b".", b".")
    kernel.detach(".")
    os.chdir("/")
    for path in ("/", FILES):
        kernel.set_attributes(path, read_only=True, recursive=False)


def empty_scratch(user: int, *, first: bool = False) -> bool:
    """Give the next program an empty scratch folder that belongs to `user`. False where the last
    program left nothing, so that the old one serves again."""
    if not first:
        if not os.listdir(SCRATCH):
            return False
        kernel.detach(SCRATCH)
    flags = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC
    options = f"size={SCRATCH_BYTES},nr_inodes=4096,mode=700,uid={user},gid={user}"
    kernel.mount("scratch", SCRATCH, "tmpfs", flags, options)
    return True


def put(name: str, source: int) -> None:
    """Copy the file open as `source` to `FILES`, where programs can read it."""
    kernel.set_attributes(FILES, read_only=False, recursive=False)
    try:
        target = os.open(f"{FILES}/{name}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o444)
        try:
            while os.sendfile(target, source, None, 2**30):
                pass
        finally:
            os.close(target)
    finally:
        kernel.set_attributes(FILES, read_only=True, recursive=False)


def _show(path: str, root: str, *, nodev: bool = True) -> None:
    """Bind `path` to the same name in `root`. A link at the top (/lib, mostly) stays a link."""
    target = root + path
    parent = os.path.dirname(path)
    if parent == "/" and os.path.islink(path):
        os.symlink(os.readlink(path), target)
        return
    os.makedirs(root + parent, exist_ok=True)
    if os.path.isdir(path):
        os.makedirs(target, exist_ok=True)
    else:
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT, 0o644))
    kernel.mount(path, target, "", kernel.MS_BIND | kernel.MS_REC)
    kernel.set_attributes(target, read_only=True, nodev=nodev)
