"""ealn_plugin/serving/app.py: what clients get, and a clear 4xx for whatever else they send."""

import io
import json
import random
import re
import string
import subprocess

import pytest
from PIL import Image

from tests.helpers.browser import chromium
from tests.serving.conftest import TOKEN


def png(colour=(255, 0, 0), size=(40, 30)):
    content = io.BytesIO()
    Image.new("RGB", size, colour).save(content, "PNG")
    return content.getvalue()


def test_the_page_and_its_parts(client):
    status, headers, page = client("GET", "/")
    assert status == 200 and b"<title>Vehicle search</title>" in page
    assert "default-src 'self'" in headers["content-security-policy"] and headers["x-content-type-options"] == "nosniff"
    for part in re.findall(rb'(?:href|src)="(/static/[^"]+)"', page):
        assert client("GET", part.decode())[0] == 200
    assert b"<script>" not in page and b" style=" not in page and b" onclick=" not in page  # the policy forbids them


def test_a_search_with_everything(client):
    fields = [("box", "0,0,1,1"), ("seen", "front"), ("camera", "1"), ("camera", "3"), ("k", "3")]
    status, _, answer = client.post("/api/search", fields, png())
    assert status == 200 and answer["view"] == "front"
    assert [(hit["id"], hit["camera"]) for hit in answer["hits"]] == [(0, 1), (2, 3), (3, 1)]
    assert set(answer["hits"][0]) >= {"rank", "similarity", "id", "image", "vehicle", "camera", "view", "time", "more"}
    assert "/" not in answer["hits"][0]["image"]  # where the files lie is nobody's business
    status, _, answer = client("GET", "/api/search/0?k=2&after=4&group_by=vehicle")
    assert status == 200 and [hit["vehicle"] for hit in answer["hits"]] == [2, 3]


def test_a_search_by_where_and_when(client):
    fields = [("where_and_when", "distance"), ("query_camera", "2"), ("query_time", "11"), ("where_weight", "9")]
    status, _, answer = client.post("/api/search", fields, png())
    assert status == 200 and answer["ranked_by"] == "distance" and answer["hits"][0]["fits"] == 1
    scores = [hit["score"] for hit in answer["hits"]]
    assert scores == sorted(scores, reverse=True) and answer["hits"][-1]["id"] == 0
    status, _, answer = client("GET", "/api/search/4?where_and_when=distance")
    assert status == 200 and answer["ranked_by"] == "distance"
    assert client.post("/api/search", [], png())[2]["ranked_by"] == "appearance"


def test_images_by_number(client):
    status, headers, content = client("GET", "/api/images/5?size=64")
    assert status == 200 and headers["content-type"] == "image/jpeg" and content[:2] == b"\xff\xd8"
    for path, expected in (("/api/images/99", 404), ("/api/images/5?size=9999", 400), ("/api/images/x", 422)):
        status, _, answer = client("GET", path)
        assert status == expected and answer["error"].count("\n") == 0 and len(answer["error"]) > 20
    for path in (
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/static/..%2fapp.py",
        "/api/images/..%2f..%2fetc%2fpasswd",
    ):
        assert client("GET", path)[0] in (404, 422)


def test_the_file_of_an_image_that_is_gone(client, pictures):
    moved = pictures[11].with_suffix(".away")
    pictures[11].rename(moved)
    try:
        status, _, answer = client("GET", "/api/images/11?size=99")
    finally:
        moved.rename(pictures[11])
    assert status == 404 and "gone or broken" in answer["error"] and str(pictures[11].parent) not in json.dumps(answer)


@pytest.mark.parametrize(
    "fields, picture, name, status, reason",
    [
        ([], b"no picture", "picture", 400, "no picture that can be read"),
        ([], b"", "picture", 400, "the upload is empty"),
        ([], png(), "else", 422, "picture: "),
        ([("box", "1,2")], png(), "picture", 400, "box is '1,2'"),
        ([("box", "0,0,nan,1")], png(), "picture", 400, "box is 0, 0, nan, 1"),
        ([("k", "many")], png(), "picture", 422, "k: "),
        ([("k", "5000")], png(), "picture", 400, "k is 5000"),
        ([("seen", "above")], png(), "picture", 400, "above"),
        ([("group_by", "wheel")], png(), "picture", 400, "group_by is 'wheel'"),
        ([("after", "noon")], png(), "picture", 400, "noon"),
        ([("view", "above")], png(), "picture", 400, "above"),
        ([("where_and_when", "space")], png(), "picture", 400, "where_and_when is 'space'"),
        ([("where_and_when", "distance"), ("query_time", "noon")], png(), "picture", 400, "noon"),
        ([("where_and_when", "distance"), ("where_weight", "nan")], png(), "picture", 400, "where_weight is nan"),
    ],
    ids=[
        *("noise", "nothing", "no file", "short box", "no box", "no number", "k", "seen", "group", "after", "view"),
        *("form", "when", "weight"),
    ],
)
def test_what_is_refused(client, fields, picture, name, status, reason):
    found, _, answer = client.post("/api/search", fields, picture, name)
    assert found == status and reason in answer["error"]


def test_quotes_in_a_condition_are_only_text(client):
    status, _, answer = client.post(
        "/api/search", [("camera", "1' OR '1'='1"), ("source", "'; DROP TABLE x; --")], png()
    )
    assert status == 200 and answer["hits"] == []


def test_nobody_without_the_token(guarded):
    for path in ("/", "/api/info", "/api/images/1", "/static/app.js", "/?token=wrong", "/api/openapi.json"):
        status, headers, answer = guarded("GET", path)
        assert status == 401 and "a token is needed" in answer["error"] and headers["www-authenticate"] == "Bearer"
    assert guarded.post("/api/search", [], png())[0] == 401
    assert guarded("GET", "/api/info", headers={"Authorization": f"Bearer {TOKEN}"})[0] == 200
    assert guarded("GET", "/api/info", headers={"Authorization": f"Basic {TOKEN}"})[0] == 401
    status, headers, _ = guarded("GET", "/?token=open%20sesame")
    assert status == 303 and headers["location"] == "/" and "HttpOnly" in headers["set-cookie"]
    cookie = headers["set-cookie"].partition(";")[0]
    assert guarded("GET", "/api/info", headers={"Cookie": cookie})[0] == 200
    assert guarded.post("/api/search", [], png(), headers={"Cookie": cookie})[0] == 200
    assert guarded("GET", "/api/info", headers={"Authorization": "Bearer \xfc"})[0] == 401


def test_five_hundred_requests_of_nonsense(client):
    """Every one is answered by a 4xx or is harmless, and the server goes on."""
    dice = random.Random(7)
    letters = string.ascii_letters + string.digits + "/.%?&=;#'\"<>\\-_+,"
    names = ["picture", "box", "seen", "camera", "view", "after", "before", "group_by", "k", "colour", "size"]
    names += ["where_and_when", "query_camera", "query_time", "where_weight"]

    def word(length):
        return "".join(dice.choice(letters) for _ in range(dice.randrange(length)))

    for number in range(500):
        kind = dice.randrange(4)
        if kind == 0:
            status, _, answer = client(
                dice.choice(["GET", "POST", "PUT", "DELETE", "HEAD"]), "/" + word(40).replace(" ", "")
            )
        elif kind == 1:
            query = "&".join(f"{dice.choice(names)}={word(12)}" for _ in range(3))
            status, _, answer = client("GET", f"/api/search/{dice.randrange(-3, 15)}?{query}")
        elif kind == 2:
            fields = [(dice.choice(names), word(20)) for _ in range(dice.randrange(4))]
            status, _, answer = client.post(
                "/api/search", fields, dice.randbytes(dice.randrange(60)), dice.choice(names)
            )
        else:
            head = {
                "Content-Type": dice.choice(
                    ["multipart/form-data", "multipart/form-data; boundary=", "text/plain", "a"]
                )
            }
            status, _, answer = client("POST", "/api/search", dice.randbytes(dice.randrange(200)), head)
        assert status < 500, f"request {number} of kind {kind} ended with {status}: {answer}"
        assert status < 400 or not isinstance(answer, dict) or answer["error"], number
    assert client("GET", "/api/info")[0] == 200


def shown(client, folder, path, width=1300):
    """The document as it is when the page has settled."""
    command = [chromium(), "--headless=new", "--no-sandbox", "--disable-gpu", f"--window-size={width},900"]
    command += ["--virtual-time-budget=8000", f"--user-data-dir={folder}", "--enable-logging=stderr", "--dump-dom"]
    done = subprocess.run(
        [*command, f"http://127.0.0.1:{client.port}{path}"], capture_output=True, text=True, timeout=120
    )
    assert not re.findall(r"CONSOLE.*(?:Error|Refused|Uncaught).*", done.stderr), done.stderr
    return done.stdout


def test_a_browser_goes_from_an_image_to_its_neighbours(client, tmp_path):
    page = shown(client, tmp_path, "/#id=4")
    assert "12 images. Colours alone count." in page and "20 nearest" not in page
    assert "11 nearest to vehicle 2 · camera 2 · 4, seen from the front" in page
    hits = re.findall(r'<li class="hit">.*?</li>', page.partition('<ol id="hits">')[2].partition("</ol>")[0], re.DOTALL)
    assert len(hits) == 11 and 'href="#id=3"' in hits[0] + hits[1] and "/api/images/3?size=320" in hits[0] + hits[1]
    assert len(re.findall(r'<input type="checkbox" name="camera" value="[123]">', page)) == 3
    assert re.search(r'<option value="rear">rear</option>', page)
    assert re.search(
        r'<details id="placing">.*<option value="distance">appearance and distances of cameras<', page, re.DOTALL
    )
