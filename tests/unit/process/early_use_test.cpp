// SPDX-License-Identifier: Apache-2.0
//
// A program may use the library in the initialiser of a global: before main, and before the library's own globals.
#include <doctest/doctest.h>

#include <coppice/otp/gen_server.hpp>
#include <coppice/process/timer.hpp>

using namespace coppice;

namespace {

struct counter {
  struct next { using reply = int; };
  int n = 0;
  int handle_call(next) { return ++n; }
};

const int before_main = [] {
  const auto c = start<counter>();
  call(c, counter::next{});
  send_after(1h, c.id(), 1);                               // a process, a reply, a timer: all pools
  const int n = call(c, counter::next{});
  stop(c);
  return n;
}();

}  // namespace

TEST_CASE("the library may be used before main") { CHECK(before_main == 2); }
