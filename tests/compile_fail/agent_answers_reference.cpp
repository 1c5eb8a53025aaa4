// SPDX-License-Identifier: Apache-2.0
// spec: EX-64
// expect: coppice: an agent answers with a value, not with a reference into its state
#include <coppice/state/agent_ref.hpp>

#include <string>

int main() {
  const auto a = coppice::start_agent([] { return std::string("x"); });
  coppice::get(a, [](const std::string& s) -> const std::string& { return s; });
}
