"""Draws a picture for each user: a service whose work takes a while, with the client for threads.

    PYTHONPATH=clients/python .venv/bin/python examples/identicons/draw.py --workers HOST:PORT --out FOLDER

A message is the name of a user. The same name gives the same picture, and a picture is there as a whole or not at all:
it may be drawn twice without harm.
"""

from __future__ import annotations

import argparse
import os
import struct
import zlib
from hashlib import sha256
from pathlib import Path

from fanout_client import Message, Reject
from fanout_client.sync import Client

#: A picture is so many squares wide and high, its left half mirrored, and a square so many pixels.
SQUARES = 5
PIXELS = 48


def picture_of(name: str) -> bytes:
    """A PNG."""
    digest = sha256(name.encode()).digest()
    colour, paper = digest[:3], b"\xf4\xf4\xf4"
    rows = []
    for row in range(SQUARES):
        half = [digest[3 + row * 3 + column] & 1 for column in range(3)]
        line = b"".join((colour if filled else paper) * PIXELS for filled in (*half, half[1], half[0]))
        rows += [b"\0" + line] * PIXELS
    side = SQUARES * PIXELS
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"".join(rows), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


class Drawer:
    """The handler."""

    def __init__(self, out: Path) -> None:
        self._out = out

    def __call__(self, message: Message) -> None:
        try:
            name = message.text().strip()
        except UnicodeDecodeError:
            # Nobody can draw it, now or later: it is parked, for a person to look at.
            raise Reject("the name is not UTF-8") from None
        path = self._out / f"{sha256(name.encode()).hexdigest()[:16]}.png"
        beside = path.with_suffix(f".{message.partition}-{message.offset}")
        beside.write_bytes(picture_of(name))
        os.replace(beside, path)
        print(f"{name}: {path.name}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", default="127.0.0.1:6066", help="HOST:PORT, several joined by commas")
    parser.add_argument("--out", type=Path, default=Path("identicons"))
    parser.add_argument("--at-once", type=int, default=4)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    with Client(*args.workers.split(",")) as client:
        client.work(Drawer(args.out), concurrency=args.at_once)


if __name__ == "__main__":
    main()
