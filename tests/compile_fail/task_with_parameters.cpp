// SPDX-License-Identifier: Apache-2.0
// expect: coppice: a task is a function without parameters
#include <coppice/otp/task.hpp>

using namespace coppice;

int main() {
  async([](int n) { return n; }).await();
}
