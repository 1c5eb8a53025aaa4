// SPDX-License-Identifier: Apache-2.0
// spec: EX-80
// expect: coppice: a registry's key is copied, compared by == and hashed: it needs std::hash, or fields that have it
#include <coppice/otp/registry.hpp>

using namespace coppice;

class room {
 public:
  explicit room(int n) : number_(n) {}
  bool operator==(const room&) const = default;

 private:
  int number_;
};

int main() { registry<room> rooms; }
