// SPDX-License-Identifier: Apache-2.0
// spec: SE-65
// expect: coppice: the handler has no handle_call(request) for this request
// expect: printer
#include <coppice/otp/gen_event.hpp>

using namespace coppice;

struct fire {};
struct how_many { using reply = int; };
struct printer {
  void handle_event(fire) {}
};

int main() { return call_handler<printer>(start<event_manager<fire>>(), how_many{}); }
