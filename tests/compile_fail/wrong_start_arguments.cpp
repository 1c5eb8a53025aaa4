// SPDX-License-Identifier: Apache-2.0
// expect: coppice: the server can not be made from these arguments
// expect: ch3
#include <coppice/otp/gen_server.hpp>

using namespace coppice;

struct ch3 {
  int channels;
  void init(int n) { channels = n; }
};

int main() { start<ch3>({}, "eight", 8); }
