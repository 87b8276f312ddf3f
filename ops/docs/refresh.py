"""Make the parts of README.md that come from a run: the demo's block and the picture of its report.

    python ops/docs/refresh.py [--browser chromium]

Runs the demo into a temporary folder, puts what it prints between the markers in README.md and photographs the top of
the report with a headless browser into ops/docs/report.png. Without a browser the picture is left as it is.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PICTURE = ROOT / "ops" / "docs" / "report.png"
WIDTH, HEIGHT = 1100, 1540
BLOCK = re.compile(r"(<!-- demo block[^\n]*-->\n```\n).*?(```\n<!-- end of demo block -->)", re.DOTALL)


def main() -> None:
    """Refresh block and picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--browser", default="chromium", help="a Chromium; default: the one on PATH")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "daemon", "demo"]
        done = subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, text=True)
        readme = ROOT / "README.md"
        text, count = BLOCK.subn(lambda m: m[1] + done.stdout + m[2], readme.read_text("utf-8"))
        if count != 1:
            sys.exit("README.md has no demo block to refresh")
        readme.write_text(text, "utf-8")
        browser = shutil.which(arguments.browser)
        if browser is None:
            print(f"there is no {arguments.browser} on PATH: {PICTURE.name} was left as it is")
            return
        photograph(browser, Path(folder) / "demo" / "report.html")
    print(f"refreshed {readme.name} and {PICTURE.name}")


def photograph(browser: str, page: Path) -> None:
    """Take a picture of the top of a page."""
    flags = ["--headless", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--hide-scrollbars"]
    flags += ["--disable-component-update", "--disable-sync", "--force-device-scale-factor=1"]
    if os.geteuid() == 0:
        flags.append("--no-sandbox")  # a browser refuses to sandbox itself as root; the page is our own file
    with tempfile.TemporaryDirectory() as profile:
        size = [f"--user-data-dir={profile}", f"--window-size={WIDTH},{HEIGHT}", f"--screenshot={PICTURE}"]
        subprocess.run([browser, *flags, *size, page.as_uri()], check=True, capture_output=True)


if __name__ == "__main__":
    main()
