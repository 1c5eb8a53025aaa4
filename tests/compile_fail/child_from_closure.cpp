// SPDX-License-Identifier: Apache-2.0
// spec: SV-7
// expect: coppice: a child is started by a function and its arguments, not by a closure
#include <coppice/process/child_spec.hpp>

int main() {
  coppice::pid p;
  (void)coppice::child({.id = "x"}, [p] { return p; });
}
