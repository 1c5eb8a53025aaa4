// SPDX-License-Identifier: Apache-2.0
// expect: coppice: a task returns a value, not a reference
#include <coppice/otp/task.hpp>

using namespace coppice;

int main() {
  static int n = 1;
  async([]() -> int& { return n; }).await();
}
