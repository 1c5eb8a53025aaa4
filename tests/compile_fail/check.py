#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
#
# check.py FILE --include FOLDER: the file must not compile, and what the compiler says must help.
#
# Each line `// expect: text` of the file must stand within the first five lines of the diagnostics of every compiler
# (`// expect(g++): text` and `// expect(clang): text` of that one alone). The lines that only tell how the compiler came to
# a header are not counted. g++ must print exactly one error.
import re
import shutil
import subprocess
import sys

WITHIN = 5
COMPILERS = {"g++": "g++", "clang": "clang++-19"}
EXPECT = re.compile(r"^\s*//\s*expect(?:\((g\+\+|clang)\))?:\s*(.*?)\s*$", re.M)


def diagnostics(program, path, include):
    command = [program, "-std=c++23", "-I", include, "-fsyntax-only", "-fno-diagnostics-color", path]
    result = subprocess.run(command, capture_output=True, text=True)
    lines = [line for line in result.stderr.splitlines() if not re.match(r"In file included from|\s+from ", line)]
    return result.returncode, lines


def problems_of(name, program, path, include, expected):
    status, lines = diagnostics(program, path, include)
    if status == 0:
        return [f"{name}: it compiles"]
    head = "\n".join(lines[:WITHIN])
    found = [f"{name}: not in the first {WITHIN} lines: {text}" for only, text in expected
             if only in ("", name) and text not in head]
    errors = sum("error:" in line for line in lines)
    if name == "g++" and errors != 1:
        found.append(f"{name}: {errors} errors instead of one")
    return found + (["what it said:", *lines[:20]] if found else [])


def main():
    path, include = sys.argv[1], sys.argv[sys.argv.index("--include") + 1]
    with open(path, encoding="utf-8") as f:
        expected = EXPECT.findall(f.read())
    found = [] if expected else [f"{path}: says nothing of what it expects"]
    for name, program in COMPILERS.items():
        if shutil.which(program):
            found += problems_of(name, program, path, include, expected)
    print("\n".join(found) if found else "as expected")
    sys.exit(1 if found else 0)


main()
