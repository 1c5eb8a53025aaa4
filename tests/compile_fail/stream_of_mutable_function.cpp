// SPDX-License-Identifier: Apache-2.0
// spec: EX-40
// expect: coppice: async_stream calls its function from several processes at once: it must be callable, as a constant, with an element
#include <coppice/otp/async_stream.hpp>

#include <vector>

using namespace coppice;

int main() {
  std::vector<int> numbers{1, 2};
  int sum = 0;
  for (auto& r : async_stream(numbers, [sum](int n) mutable { return sum += n; })) r.value();
}
