// SPDX-License-Identifier: Apache-2.0
// spec: SE-2
// expect: coppice: down may come in any state
// expect(clang): open
// expect: down
#include <coppice/otp/gen_statem.hpp>

using namespace coppice;

struct door {
  struct locked {};
  struct open {};
  using all = states<locked, open>;
  void handle(locked&, down) {}
};

int main() { start<door>(); }
