# SPDX-License-Identifier: Apache-2.0
#
# What the checks share: where things are and how to list them.
import os
import re
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
COMPILE = ["-std=c++23", "-I" + os.path.join(ROOT, "include"), "-I" + os.path.join(ROOT, "src"),
           "-I" + os.path.join(ROOT, "src/runtime/switch_own"), "-I" + os.path.join(ROOT, "src/runtime/sanitizer/none")]


def files(*folders, ends=(".hpp", ".cpp")):
    """Paths relative to the root of all files below these folders that end so, sorted."""
    found = []
    for folder in folders:
        for where, _, names in os.walk(os.path.join(ROOT, folder)):
            found += [os.path.relpath(os.path.join(where, n), ROOT) for n in names if n.endswith(ends)]
    return sorted(found)


def text(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as f:
        return f.read()


def public_headers():
    return files("include/coppice", ends=(".hpp",))


def include_name(path):
    """How a header is included: coppice/base/time.hpp, or process/mailbox.hpp for a private one."""
    return re.sub(r"^(include|src/sim/include|src)/", "", path)


def compilers():
    """g++ and, where it is installed, clang 19."""
    return [c for c in ("g++", "clang++-19") if shutil.which(c)]


def run(command, **options):
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, **options)


def finish(name, problems, summary):
    """Prints the problems and one closing line; the exit status says whether there were any."""
    for problem in problems:
        print(problem)
    print(f"{name}: {summary}")
    sys.exit(1 if problems else 0)
