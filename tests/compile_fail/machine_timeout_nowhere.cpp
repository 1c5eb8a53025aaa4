// SPDX-License-Identifier: Apache-2.0
// spec: SE-31 SE-41
// expect: coppice: enter sets a state_timeout in a state that has no handle(state&, state_timeout)
// expect(clang): open
#include <coppice/otp/gen_statem.hpp>

using namespace coppice;

struct door {
  struct open {};
  using all = states<open>;
  auto enter(open&) { return state_timeout{1s}; }
};

int main() { start<door>(); }
