// SPDX-License-Identifier: Apache-2.0
#include <coppice/otp/gen_server.hpp>

#include <cstdio>
#include <string>

using namespace coppice;

struct greet {
  using reply = std::string;
  std::string whom;
};
struct forget {};

struct greeter {
  int greeted = 0;
  std::string handle_call(greet g) { return ++greeted, "hello, " + g.whom; }
  void handle_cast(forget) { greeted = 0; }
};

int main() {
  const auto server = start<greeter>();
  std::puts(call(server, greet{"world"}).c_str());
  cast(server, forget{});
  stop(server);
}
