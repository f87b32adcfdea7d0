"""Chromium without a window."""

import subprocess
from pathlib import Path

CHROMIUM = "/usr/bin/chromium"
OPTIONS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=1280,1600"),
)
LOG = ("--enable-logging=stderr", "--v=0")
"""Options that write what pages say on their console."""


def browse(page: Path, tmp_path: Path, *options: str) -> subprocess.CompletedProcess[bytes]:
    """Open a page, with a profile of its own."""
    command = [CHROMIUM, *OPTIONS, f"--user-data-dir={tmp_path / 'profile'}", *options, page.as_uri()]
    return subprocess.run(command, capture_output=True, timeout=120, check=True)
