// SPDX-License-Identifier: Apache-2.0
// expect: coppice: handle_info(exit_signal) is never called unless the class traps exits
// expect: ch3
#include <coppice/otp/gen_server.hpp>

using namespace coppice;

struct ch3 {
  void handle_info(exit_signal) {}
};

int main() { start<ch3>(); }
