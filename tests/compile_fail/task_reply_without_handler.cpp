// SPDX-License-Identifier: Apache-2.0
// spec: EX-19
// expect: coppice: the server has no handle_info(task_reply<T>) for the value of this task
// expect: shop
#include <coppice/otp/gen_server.hpp>
#include <coppice/otp/task_message.hpp>

using namespace coppice;

struct ask {};
struct shop {
  void handle_cast(ask) { async_message(this, [] { return 1; }); }
};

int main() { cast(start<shop>(), ask{}); }
