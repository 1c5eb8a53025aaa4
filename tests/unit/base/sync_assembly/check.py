#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
#
# check.py COMPILER INCLUDE_FOLDER: compiles through_sync.cpp and bare.cpp at -O1, -O2 and -O3 and compares the
# instructions, function by function. sync must cost nothing. Exit 1 and the differing functions if it does.
import pathlib
import re
import subprocess
import sys


def functions(compiler, include, level, source):
    """The instructions of each function in the assembly of `source`, with local labels numbered in order."""
    command = [compiler, "-std=c++23", level, "-S", "-g0", "-fno-asynchronous-unwind-tables", "-I", include, "-o", "-", source]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found, name = {}, None
    for line in text.splitlines():
        line = line.split("#")[0].rstrip()
        label = re.match(r"([A-Za-z_]\w*):", line)
        if label:
            name = label.group(1)
            found[name] = []
        elif name and re.match(r"\s+[a-z]", line):
            found[name].append(re.sub(r"\.L\w+", ".L", line.strip()))
    return found


def main():
    compiler, include = sys.argv[1:3]
    here = pathlib.Path(__file__).parent
    different = 0
    for level in ("-O1", "-O2", "-O3"):
        ours = functions(compiler, include, level, str(here / "through_sync.cpp"))
        bare = functions(compiler, include, level, str(here / "bare.cpp"))
        if not bare or ours.keys() != bare.keys():
            sys.exit(f"{level}: the two files do not define the same functions: {sorted(ours.keys() ^ bare.keys())}")
        for name in bare:
            if ours[name] != bare[name]:
                different += 1
                print(f"{level} {name}:\n  sync: {'; '.join(ours[name])}\n  bare: {'; '.join(bare[name])}")
        print(f"{level}: {len(bare)} functions compared")
    sys.exit(1 if different else 0)


main()
