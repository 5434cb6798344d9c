"""ealn_plugin/serving/page/: what a browser makes of it."""

import re
import subprocess

from tests.helpers.browser import chromium


def shown(client, folder, path, width=1300):
    """The document as it is when the page has settled."""
    command = [chromium(), "--headless=new", "--no-sandbox", "--disable-gpu", f"--window-size={width},900"]
    command += ["--virtual-time-budget=8000", f"--user-data-dir={folder}", "--enable-logging=stderr", "--dump-dom"]
    done = subprocess.run(
        [*command, f"http://127.0.0.1:{client.port}{path}"], capture_output=True, text=True, timeout=120
    )
    assert not re.findall(r"CONSOLE.*(?:Error|Refused|Uncaught).*", done.stderr), done.stderr
    return done.stdout


def test_from_an_image_to_its_neighbours(client, tmp_path):
    page = shown(client, tmp_path, "/#id=4")
    assert "12 images. Colours alone count." in page and "20 nearest" not in page
    assert "11 nearest to vehicle 2 · camera 2 · 4, seen from the front" in page
    hits = re.findall(r'<li class="hit">.*?</li>', page.partition('<ol id="hits">')[2].partition("</ol>")[0], re.DOTALL)
    assert len(hits) == 11 and 'href="#id=3"' in hits[0] + hits[1] and "/api/images/3?size=320" in hits[0] + hits[1]
    assert len(re.findall(r'<input type="checkbox" name="camera" value="[123]">', page)) == 3
    assert re.search(r'<option value="rear">rear</option>', page)
