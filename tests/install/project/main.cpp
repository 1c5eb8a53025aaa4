// SPDX-License-Identifier: Apache-2.0
//
// What a stranger writes first: a server, a call, a stop.
#include <coppice/otp/gen_server.hpp>

struct counter {
  struct next { using reply = int; };
  int count = 0;
  int handle_call(next) { return ++count; }
};

int main() {
  const auto server = coppice::start<counter>();
  const int first = coppice::call(server, counter::next{});
  const int second = coppice::call(server, counter::next{});
  coppice::stop(server);
  return first == 1 && second == 2 ? 0 : 1;
}
