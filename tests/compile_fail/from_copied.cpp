// SPDX-License-Identifier: Apache-2.0
// spec: GS-46
// expect: from
#include <coppice/otp/gen_server.hpp>

using namespace coppice;

void keep(const from<int>& caller) {
  [[maybe_unused]] from<int> second = caller;
}

int main() {}
