// SPDX-License-Identifier: Apache-2.0
// spec: EX-80
// expect: coppice: a registry keeps keys and values with an alignment of up to 16 bytes
#include <coppice/otp/registry.hpp>

using namespace coppice;

struct alignas(64) room {
  int number;
  friend bool operator==(const room&, const room&) = default;
};

int main() { registry<room> rooms; }
