// SPDX-License-Identifier: Apache-2.0
// spec: EX-80
// expect: coppice: a registry's key is copied, compared by == and hashed: it needs std::hash, or fields that have it
#include <coppice/otp/registry.hpp>

using namespace coppice;

struct room {
  int floor;
  int number;
};

int main() { registry<room> rooms; }
