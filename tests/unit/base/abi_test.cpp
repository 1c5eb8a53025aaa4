// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <coppice/base/abi.hpp>

using namespace coppice;

TEST_CASE("a test and the core that is linked to it fit") {
  CHECK(abi_of_core() == abi_here());
  CHECK(abi_difference(abi_of_core(), abi_here()).empty());
}

TEST_CASE("each field of a stamp counts, and the difference names it with both values") {
  const abi_stamp mine{.core = 1, .compiler = "g++", .compiler_major = 12, .library = 7};
  const auto text = [&](auto change) {
    abi_stamp other = mine;
    change(other);
    CHECK(other != mine);
    return abi_difference(mine, other);
  };
  CHECK(text([](auto& s) { s.core = 2; }) == "core: 2, expected 1");
  CHECK(text([](auto& s) { s.compiler = "clang", s.compiler_major = 19; }) == "compiler: clang 19, expected g++ 12");
  CHECK(text([](auto& s) { s.library = 8; }) == "standard library: 8, expected 7");
  CHECK(text([](auto& s) { s.library_assertions = true; }) == "assertions of the standard library: yes, expected no");
  CHECK(text([](auto& s) { s.debug_containers = true; }) == "debug containers: yes, expected no");
  CHECK(text([](auto& s) { s.old_strings = true; }) == "strings of before C++11: yes, expected no");
  CHECK(text([](auto& s) { s.sanitizer = "thread"; }) == "sanitizer: thread, expected none");
  CHECK(text([](auto& s) { s.simulated = true; }) == "simulated: yes, expected no");
  CHECK(text([](auto& s) { s.core = 2, s.simulated = true; }) == "core: 2, expected 1; simulated: yes, expected no");
}
