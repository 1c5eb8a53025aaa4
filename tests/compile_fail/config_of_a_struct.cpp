// SPDX-License-Identifier: Apache-2.0
// expect: a configuration holds bool, numbers, std::string, duration, secret and std::vector of these
#include <coppice/otp/config.hpp>

struct point { int x; int y; };

int main() {
  coppice::config c;
  return c.get<point>("where").x;
}
