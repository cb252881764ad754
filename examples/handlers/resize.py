#!/usr/bin/env python3
"""Makes a picture smaller: ebb enqueue Resize photo.ppm small.ppm 320

Pictures are PPM files with three bytes a pixel (P6), which need no library. Every
pixel of the result is the mean of those that it stands for. An interrupted run goes
on with the row at which it was.
"""

import json
import os
import signal
import sys


class Stopped(BaseException):
    """The worker must end before the job does."""


def stop(signum, frame):
    raise Stopped


def header(source):
    """Returns width and height, and leaves source at the first pixel."""
    words = []
    while len(words) < 4:
        line = source.readline()
        if not line:
            sys.exit("the picture ends in its header")
        words += line.split(b"#")[0].split()
    kind, width, height, most = words
    if kind != b"P6" or most != b"255":
        sys.exit("the picture is not a PPM of three bytes a pixel")
    return int(width), int(height)


def mean(rows, left, right):
    """The mean colour of the columns from left to right, as three bytes."""
    count = len(rows) * (right - left)
    return bytes(sum(sum(row[3 * left + c : 3 * right : 3]) for row in rows) // count for c in range(3))


def resize(source, target, width, checkpoint):
    full_width, full_height = header(source)
    start = source.tell()
    width = min(width, full_width)
    height = max(1, full_height * width // full_width)
    target.write(b"P6\n%d %d\n255\n" % (width, height))
    begin = target.tell()
    edges = [x * full_width // width for x in range(width + 1)]

    # Only rows that were done count. What lies behind them is written again.
    done = checkpoint.load()
    target.seek(begin + done * 3 * width)
    target.truncate()
    for y in range(done, height):
        top, bottom = y * full_height // height, (y + 1) * full_height // height
        source.seek(start + top * 3 * full_width)
        rows = [source.read(3 * full_width) for _ in range(top, bottom)]
        target.write(b"".join(mean(rows, left, right) for left, right in zip(edges, edges[1:])))
        target.flush()
        checkpoint.save(y + 1)
    print(f"{width} x {height}, from {full_width} x {full_height}; began at row {done}")


class Checkpoint:
    """A number that the next run finds."""

    def __init__(self, path):
        self.path = path

    def load(self):
        try:
            with open(self.path) as file:
                return json.load(file)["row"]
        except FileNotFoundError:
            return 0

    def save(self, row):
        # A new file replaces the old one as a whole: no half of it is ever read.
        with open(self.path + ".new", "w") as file:
            json.dump({"row": row}, file)
        os.replace(self.path + ".new", self.path)


def main():
    signal.signal(signal.SIGTERM, stop)
    try:
        job = json.load(sys.stdin)
        original, smaller, width = job["args"]
        # Not "w", which would empty the picture that an earlier run has begun.
        with open(original, "rb") as source, open(os.open(smaller, os.O_RDWR | os.O_CREAT), "r+b") as target:
            resize(source, target, int(width), Checkpoint(os.environ["EBB_CHECKPOINT"]))
    except Stopped:
        sys.exit(143)  # each row is saved already


main()
