"""ealn_plugin/serving/limits.py: refused before it is read."""

import http.client

import pytest


def test_a_body_that_is_too_large(client):
    status, _, answer = client.post("/api/search", [], b"\0" * (2**20 + 1))
    assert status == 413 and answer["error"].startswith("the request is too large, expected at most 1 MiB")


def test_a_body_that_grows_too_large_on_the_way(client):
    connection = http.client.HTTPConnection("127.0.0.1", client.port, timeout=30)
    try:
        headers = {"Content-Type": "multipart/form-data; boundary=x", "Transfer-Encoding": "chunked"}
        chunks = [b"--x\r\nContent-Disposition: form-data; name=picture; filename=a\r\n\r\n", *[b"\0" * 2**18] * 8]
        try:
            connection.request("POST", "/api/search", iter(chunks), headers, encode_chunked=True)
        except (BrokenPipeError, ConnectionResetError):
            pass  # the server has answered and hung up
        assert connection.getresponse().status == 413
    finally:
        connection.close()


@pytest.mark.parametrize(
    "host, status",
    [
        ("localhost:1", 200),
        ("LOCALHOST", 200),
        ("127.0.0.1", 200),
        ("evil.example", 421),
        ("[::1]:80", 421),
        ("127.0.0.1.evil.example", 421),
    ],
)
def test_names_that_it_goes_by(client, host, status):
    assert client("GET", "/api/info", host=host)[0] == status


def test_a_length_that_is_none(client):
    assert client("POST", "/api/search", b"", {"Content-Length": "-5"})[0] in (400, 413)
