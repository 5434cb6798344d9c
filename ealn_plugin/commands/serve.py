"""Open an index in the browser: a page on this machine that finds vehicles, and the JSON interface behind it.

ealn serve --index log/gallery
ealn serve --index log/gallery --host 0.0.0.0 --token SECRET
"""

import argparse
import ipaddress
import logging
import os
import secrets
import socket
from collections.abc import Sequence

from ealn_plugin.commands import choices
from ealn_plugin.commands.arguments import Parser, add_imports, add_model_input, positive
from ealn_plugin.commands.search_network import check_index, check_network, extractor_of, load
from ealn_plugin.system.cli import exit_code, start_screen
from ealn_plugin.system.extras import check_extra

PACKAGES = ("fastapi", "uvicorn", "python_multipart")
TOKEN = "EALN_TOKEN"
"""Environment variable that may hold the token, which a command line would show to everybody on the machine."""
_LARGEST_PORT = 65535


def build_parser() -> argparse.ArgumentParser:
    """Return the argument parser."""
    parser = Parser("serve", __doc__)
    parser.add_argument("--index", required=True, metavar="DIR", help="folder of the index")
    where = parser.add_argument_group("who may ask")
    where.add_argument(
        "--host", default="127.0.0.1", metavar="ADDRESS", help="address to listen at (default: 127.0.0.1, this machine)"
    )
    where.add_argument("--port", type=int, default=8000, help="(default: 8000; 0: a free one)")
    where.add_argument(
        "--token",
        default="",
        metavar="TEXT",
        help=f"what visitors must know, needed beyond this machine; 'new' draws one (default: ${TOKEN})",
    )
    where.add_argument("--upload-mb", type=positive, default=20, metavar="N", help="largest upload (default: 20)")
    network = parser.add_argument_group("the network (default: the one that the index was built with)")
    network.add_argument("--run", default="", metavar="DIR", help="a run folder, or an ONNX file made of one")
    network.add_argument("--model", default="", metavar="NAME", help="a torchreid model, such as resnet50")
    network.add_argument("--weights", default="", metavar="FILE", help="its weights")
    add_model_input(network)
    add_imports(network)
    network.add_argument("--no-fusion", action="store_true", help="not the fused feature of runs with generated views")
    network.add_argument("--classifier", default="", metavar="FILE", help="predicts the views that nobody knows")
    network.add_argument("--device", help="cpu or cuda (default: cuda where there is one)")
    network.add_argument("--precision", choices=choices.PRECISIONS, default="fp32")
    parser.set_defaults(batch_size=1, workers=0)
    return parser


def check(args: argparse.Namespace) -> str:
    """Refuse what is no address, and an open one without a token; returns the token.

    Raises:
        ValueError, FileNotFoundError, RuntimeError: with one sentence.
    """
    if not 0 <= args.port <= _LARGEST_PORT:
        raise ValueError(f"--port is {args.port}, expected 0 to {_LARGEST_PORT}")
    token = args.token or os.environ.get(TOKEN, "")
    if token == "new":
        token = secrets.token_urlsafe(16)
    if not is_loopback(args.host) and not token:
        raise ValueError(
            f"--host is {args.host}, which others reach, but there is no token; add --token new, or leave --host out"
        )
    check_extra("serve", PACKAGES, "the page and its interface")
    check_network(args)
    check_index(args.index)
    return token


def is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
        OSError: the address cannot be had; one sentence.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        found = socket.socket(family, socket.SOCK_STREAM)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
        found.listen(128)
    except OSError as error:
        raise OSError(
            f"{host} port {port} cannot be listened at ({error}); choose another with --host or --port"
        ) from error
    return found


def serve(args: argparse.Namespace) -> None:
    """Serve until interrupted.

    Raises:
        ValueError, OSError, RuntimeError: with one sentence.
    """
    token = check(args)
    listening = listen(args.host, args.port)  # before the seconds that loading takes
    load(args)
    import uvicorn

    from ealn_plugin.search import SearchIndex
    from ealn_plugin.serving.app import create_app
    from ealn_plugin.serving.gallery import Gallery

    extractor, _ = extractor_of(args, SearchIndex.open(args.index).manifest)
    gallery = Gallery(SearchIndex.open(args.index, extractor.identity), extractor)
    hosts = ("localhost", "127.0.0.1", "[::1]", args.host) if is_loopback(args.host) else ()
    app = create_app(gallery, token=token, upload_bytes=args.upload_mb * 2**20, hosts=hosts)
    host, port = listening.getsockname()[:2]
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}/"
    print(
        f"{len(gallery.index):,} images: open {address}{f'?token={token}' if token else ''}   (Ctrl-C ends)", flush=True
    )
    uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_keep_alive=10)).run(sockets=[listening])


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0; 1 for bad input, with one sentence; 130 when interrupted."""
    args = build_parser().parse_args(arguments)
    start_screen(logging.WARNING)
    return exit_code(lambda: serve(args), "stopped")
