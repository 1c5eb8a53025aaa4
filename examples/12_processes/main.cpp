// SPDX-License-Identifier: Apache-2.0
//
// Processes without any server: spawn, send, receive; selective receive, a limit, and ten thousand of them.
#include <coppice/process/process.hpp>
#include <coppice/process/receive.hpp>

#include <cstdio>
#include <string>

using namespace coppice;

// [messages]
struct ping { pid from; int number; };        // any movable type is a message
struct pong { int number; };
struct enough {};
// [/messages]

// [echo]
void echo() {
  for (bool more = true; more;)
    receive([](const ping& p) { send(p.from, pong{p.number}); },
            [&](enough) { more = false; });
}
// [/echo]

/// Adds numbers up in `parts` processes.
// [fan_out]
long sum_of_squares(int parts) {
  const pid here = self();
  for (int i = 1; i <= parts; ++i) spawn([here, i] { send(here, long{i} * i); });
  long sum = 0;
  for (int i = 0; i < parts; ++i) sum += receive<long>();      // in the order of arrival
  return sum;
}
// [/fan_out]

int main() {
  // [talk]
  const pid other = spawn(echo);
  send(other, ping{self(), 1});
  const pong first = receive<pong>();
  // [/talk]
  std::printf("pong %d\n", first.number);

  // [selective]
  send(self(), std::string("letter"));
  send(other, ping{self(), 2});
  const pong second = receive<pong>();                          // the letter was there first; it stays where it is
  const std::string letter = receive<std::string>();
  // [/selective]
  std::printf("pong %d, then the %s\n", second.number, letter.c_str());

  // [limit]
  const bool came = receive([](pong) {}, after(10ms, [] { std::puts("nobody answered"); }));
  // [/limit]
  send(other, enough{});

  const long sum = sum_of_squares(10'000);
  std::printf("the sum is %ld\n", sum);
  return first.number == 1 && second.number == 2 && letter == "letter" && !came && sum == 333'383'335'000 ? 0 : 1;
}
