// SPDX-License-Identifier: Apache-2.0
//
// The one main of all tests. It takes doctest's flags: -tc="GS-24 *" runs one item, -ltc lists the cases, -s shows
// successes too.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>
