// SPDX-License-Identifier: Apache-2.0
// spec: SV-7
// expect: coppice: a child's arguments must be copyable
#include <coppice/otp/child.hpp>

#include <memory>

struct holder {
  std::unique_ptr<int> what;
};

int main() { (void)coppice::child<holder>({}, std::make_unique<int>(1)); }
