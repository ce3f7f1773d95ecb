"""Takes the pictures in this folder: python docs/make_screenshots.py [--home data] [--recipe quickstart]

Starts `winnow ui` on a free port for a home folder in which the recipe has run, opens the recipe's
asset graph in a headless Chromium (Debian's package `chromium`) and writes `asset-graph.png`. Run it
again when the graph or Dagster's UI looks different.
"""

import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from winnow.assets.graph import identifier

START_SECONDS = 180
PAGE_MILLISECONDS = 30_000  # of the page's own clock, which headless Chromium runs fast


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--home", type=Path, default=Path("data"))
    parser.add_argument("--recipe", default="quickstart", help="stem of the recipe's file")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("asset-graph.png"))
    parser.add_argument("--size", default="2000,1760", help="width,height of the window")
    chosen = parser.parse_args()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "winnow.cli.main", "ui", "--home", str(chosen.home),
               "--port", str(port)]  # fmt: skip
    ui = subprocess.Popen(command)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for(f"{url}/server_info", ui)
        group = f"locations/winnow/asset-groups/{identifier(chosen.recipe)}"
        take(f"{url}/{group}/lineage", chosen.out, chosen.size)
    finally:
        ui.send_signal(signal.SIGINT)
        ui.wait()
    print(chosen.out)


def wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    """Until the server answers; SystemExit where it ends or takes too long."""
    latest = time.monotonic() + START_SECONDS
    while time.monotonic() < latest and server.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.5)
    raise SystemExit(f"{url} does not answer")


def take(url: str, out: Path, size: str) -> None:
    """Write a picture of a page."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        raise SystemExit("no chromium here (Debian: apt install chromium)")
    with tempfile.TemporaryDirectory() as profile:
        flags = ["--headless", "--disable-gpu", "--no-first-run", "--disable-sync",
                 "--disable-background-networking", "--disable-component-update",
                 "--hide-scrollbars", f"--user-data-dir={profile}", f"--window-size={size}",
                 f"--virtual-time-budget={PAGE_MILLISECONDS}", f"--screenshot={out.absolute()}"]  # fmt: skip
        if os.geteuid() == 0:
            flags.append("--no-sandbox")  # Chromium's sandbox refuses root
        subprocess.run([browser, *flags, url], check=True, stderr=subprocess.DEVNULL, timeout=180)


if __name__ == "__main__":
    main()
