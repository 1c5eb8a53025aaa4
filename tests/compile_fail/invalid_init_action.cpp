// SPDX-License-Identifier: Apache-2.0
// spec: GS-29 OL-3
// expect: ok
#include <coppice/otp/gen_server.hpp>

using namespace coppice;

struct ch3 {
  auto init() { return ok(5000); }
};

int main() { start<ch3>(); }
