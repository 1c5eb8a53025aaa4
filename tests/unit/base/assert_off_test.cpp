// SPDX-License-Identifier: Apache-2.0
#undef COPPICE_ASSERTS
#include <coppice/base/assert.hpp>

#include <doctest/doctest.h>

TEST_CASE("assert: switched off, the condition compiles but does not run") {
  int evaluated = 0;
  COPPICE_ASSERT(++evaluated == 7, "never looked at");
  CHECK(evaluated == 0);
}
