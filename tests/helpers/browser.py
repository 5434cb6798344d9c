"""A page opened in headless Chromium, for tests of what a reader's browser makes of it."""

import html
import json
import pathlib
import re
import shutil
import subprocess

import pytest

_PROBE = """
<script>
const problems = [];
addEventListener("error", event => problems.push(String(event.message || event.target.outerHTML)), true);
addEventListener("securitypolicyviolation", event => problems.push("refused: " + event.blockedURI));
addEventListener("load", () => {
  const folded = document.body.scrollHeight;
  document.querySelectorAll("details:not(.picture)").forEach(part => { part.open = true; });
  const page = document.documentElement;
  const found = {
    innerWidth: innerWidth, scrollWidth: page.scrollWidth, folded: folded, problems: problems,
    dialogs: window.hostile || 0,
    sideways: [...document.querySelectorAll("main *")].filter(box => getComputedStyle(box).display !== "inline" &&
      box.clientWidth && box.scrollWidth > box.clientWidth + 1).map(box => box.tagName + " " + box.className),
    images: [...document.images].map(image => image.naturalWidth),
    without_alt: [...document.images].filter(image => !image.alt).length,
    requests: performance.getEntriesByType("resource").map(entry => entry.name).filter(name => !/^data:/.test(name)),
  };
  parent.postMessage(JSON.stringify(found), "*");
});
</script>
"""
# A window of Chromium is at least 500 pixels wide, a frame in it may be narrower.
_HOST = """<!DOCTYPE html><title>host</title>
<iframe src="probed.html" style="border: 0; width: {width}px; height: 844px"></iframe>
<script>
addEventListener("message", event => {{
  const output = document.createElement("pre");
  output.id = "probe";
  output.textContent = event.data;
  document.body.append(output);
}});
</script>
"""


def chromium():
    """Path of the browser; the test is skipped where there is none."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not found:
        pytest.skip("there is no Chromium; apt-get install chromium")
    return found


def open_in_chromium(page, folder, width=390):
    """What the browser finds on a page.

    Args:
        page: path of the HTML file. folder: for a copy of it with a script that measures. width: that it is shown at.
    Returns:
        dict: innerWidth, scrollWidth (of the whole page, unfolded), folded (its height before that), sideways (boxes
        whose content is wider than they are), images (their natural widths), without_alt (how many images
        have no text), requests (addresses that were asked for), problems (errors, refusals), dialogs.
    """
    text = pathlib.Path(page).read_text(encoding="utf-8")
    assert text.count("default-src 'none';") == 1
    text = text.replace("default-src 'none';", "default-src 'none'; script-src 'unsafe-inline';")
    (folder / "probed.html").write_text(text.replace("<title>", f"{_PROBE}<title>", 1), encoding="utf-8")
    host = folder / "host.html"
    host.write_text(_HOST.format(width=width), encoding="utf-8")
    done = subprocess.run(
        [
            chromium(),
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--window-size=1300,900",
            "--virtual-time-budget=10000",
            f"--user-data-dir={folder / 'profile'}",
            "--enable-logging=stderr",
            "--dump-dom",
            host.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    found = re.search(r'<pre id="probe">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stderr[-2000:]
    found = json.loads(html.unescape(found[1]))
    found["problems"] += re.findall(r"CONSOLE.*", done.stderr)
    return found
