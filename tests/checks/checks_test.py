#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
#
# The house checks must be able to fail: each case plants one fault into a small tree with a copy of tools/check and
# expects the check to say so.
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HEAD = "// SPDX-License-Identifier: Apache-2.0\n#pragma once\n"


class Tree:
    """A small tree that passes every check, plus the given files."""

    def __init__(self):
        self.folder = tempfile.mkdtemp()
        shutil.copytree(os.path.join(ROOT, "tools/check"), os.path.join(self.folder, "tools/check"))
        self.write("include/coppice/base/time.hpp", HEAD)
        self.write("include/coppice/process/pid.hpp", HEAD + "#include <coppice/base/time.hpp>\n")
        self.write("src/process/pid.cpp", "#include <coppice/process/pid.hpp>\n")
        self.write("docs/spec/processes.md", "- PR-1 a pid is a value\n| PR-20 | a row |\n")
        self.write("docs/spec/waiting.txt", "")
        self.write("tests/spec/process/pid_test.cpp", 'TEST_CASE("PR-1, PR-20 a pid is a value") {}\n')

    def write(self, path, content):
        path = os.path.join(self.folder, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as f:
            f.write(content)

    def check(self, name, *arguments):
        result = subprocess.run([sys.executable, f"tools/check/{name}", *arguments], cwd=self.folder, capture_output=True, text=True)
        return result.returncode, result.stdout + result.stderr


class Checks(unittest.TestCase):
    def setUp(self):
        self.tree = Tree()
        self.addCleanup(shutil.rmtree, self.tree.folder)

    def expect(self, check, path, content, *said, arguments=()):
        status, before = self.tree.check(check)
        self.assertEqual(status, 0, before)
        self.tree.write(path, content)
        status, out = self.tree.check(check, *arguments)
        self.assertEqual(status, 1, out)
        for text in said:
            self.assertIn(text, out)

    def test_layers_upwards(self):
        self.expect("layers", "src/base/clock.cpp", "#include <coppice/process/pid.hpp>\n", "base may not look at process")

    def test_layers_sideways(self):
        self.tree.write("include/coppice/state/atom.hpp", HEAD)
        self.expect("layers", "src/otp/call.cpp", "#include <coppice/state/atom.hpp>\n", "otp may not look at state")

    def test_layers_cycle(self):
        self.tree.write("src/process/a.hpp", HEAD + '#include "process/b.hpp"\n')
        self.expect("layers", "src/process/b.hpp", HEAD + '#include "process/a.hpp"\n', "cycle: src/process/a.hpp")

    def test_layers_private_from_public(self):
        self.tree.write("src/process/slot.hpp", HEAD)
        self.expect("layers", "include/coppice/process/link.hpp", HEAD + '#include "process/slot.hpp"\n', "includes the private")

    def test_layers_heavy_header(self):
        self.expect("layers", "include/coppice/base/heavy.hpp", HEAD + "#include <functional>\n", "<functional> is kept out")

    def test_layers_heavy_header_with_a_reason(self):
        self.tree.write("include/coppice/base/heavy.hpp", HEAD + "#include <memory>  // shared_ptr is in the interface\n")
        self.assertEqual(self.tree.check("layers")[0], 0)

    def test_layers_atomics_past_sync(self):
        self.expect("layers", "src/process/run.cpp", "#include <atomic>\n", "belongs to base/detail/sync")

    def test_spec_untested(self):
        self.expect("spec_coverage", "docs/spec/processes.md", "- PR-1 x\n| PR-20 | x |\n- PR-2 y\n", "untested PR-2\n")

    def test_spec_unknown(self):
        self.expect("spec_coverage", "tests/spec/process/x_test.cpp", 'TEST_CASE("PR-99 x") {}\n', "unknown PR-99")

    def test_spec_an_id_later_in_the_name_proves_nothing(self):
        self.expect("spec_coverage", "tests/spec/process/pid_test.cpp", 'TEST_CASE("PR-1 unlike PR-20") {}\n', "untested PR-20\n")

    def test_spec_waiting_although_tested(self):
        self.expect("spec_coverage", "docs/spec/waiting.txt", "waiting PR-1 later\n", "PR-1 waits although")

    def test_spec_waiting(self):
        self.tree.write("docs/spec/processes.md", "- PR-1 x\n| PR-20 | x |\n- PR-2 y\n")
        self.tree.write("docs/spec/waiting.txt", "waiting PR-2 nodes\n")
        status, out = self.tree.check("spec_coverage")
        self.assertEqual(status, 0, out)
        self.assertIn("waiting PR-2 nodes\n", out)

    def test_spec_forms_of_names(self):
        self.tree.write("docs/spec/gen_server.md", "- GS-X3 x\n  - GS-33 y\n- GS-34 z\n")
        self.tree.write("tests/spec/otp/x_test.cpp",
                        'TEST_CASE_FIXTURE(world, "GS-X3 x") {}\n'
                        'TEST_CASE("GS-33: y"\n          " and more") {}\n')
        self.tree.write("tests/compile_fail/z.cpp", "// spec: GS-34\n")
        status, out = self.tree.check("spec_coverage")
        self.assertEqual(status, 0, out)

    def test_headers_alone(self):
        self.expect("headers_alone", "include/coppice/base/lazy.hpp", HEAD + "inline std::string s();\n", "does not compile alone")

    def test_headers_pragma(self):
        self.expect("headers_alone", "include/coppice/base/twice.hpp", "// SPDX-License-Identifier: Apache-2.0\n", "no #pragma once")

    def test_snippets(self):
        self.tree.write("examples/01/main.cpp", "int main() {\n  // [core]\n  f();\n  // [/core]\n}\n")
        block = "<!-- snippet: examples/01/main.cpp core -->\n```cpp\n%s\n```\n"
        self.tree.write("README.md", block % "f();")
        self.expect("docs_snippets", "README.md", block % "g();", "differs from the example")
        self.tree.check("docs_snippets", "--fix")
        self.assertEqual(self.tree.check("docs_snippets")[0], 0)

    # spec: EX-106
    def test_the_antipatterns_page_says_when_not_to_use_a_server(self):
        root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        with open(os.path.join(root, "docs/antipatterns.md"), encoding="utf-8") as f:
            page = f.read()
        for reason in ("beside other work", "several callers change", "failure that must not spread", "upgrade", "client and a server"):
            self.assertIn(reason, page)
        self.assertIn("use a function or a struct", page)
        self.assertIn("<!-- snippet: examples/", page)       # its code runs as a test

    def test_snippet_of_nothing(self):
        self.expect("docs_snippets", "README.md", "<!-- snippet: none.cpp x -->\n```cpp\n```\n", "has no region")


unittest.main()
