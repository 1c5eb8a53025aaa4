// SPDX-License-Identifier: Apache-2.0
//
// The one main of all tests. It takes doctest's flags: -tc="GS-24 *" runs one item, -ltc lists the cases, -s shows
// successes too.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include "support/eventually.hpp"

#include <cstdlib>
#include <cstring>

namespace coppice::testing {

int rounds(int normal, int thorough) {
  const char* wanted = std::getenv("COPPICE_LONG");
  return wanted != nullptr && std::strcmp(wanted, "0") != 0 ? thorough : normal;
}

}  // namespace coppice::testing
