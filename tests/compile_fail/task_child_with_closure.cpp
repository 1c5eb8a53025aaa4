// SPDX-License-Identifier: Apache-2.0
// spec: EX-16
// expect: coppice: a child is started by a function and its arguments, not by a closure that holds something
#include <coppice/otp/task_child.hpp>

using namespace coppice;

int main() {
  int n = 1;
  const child_spec spec = task_child({}, [n] { return n; });
}
