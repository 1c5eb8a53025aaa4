// SPDX-License-Identifier: Apache-2.0
//
// counters: how many requests were answered, by method and status. An agent for each method: who answers a request sends it an action
// and goes on. Both labels are of the program's making, so strangers cannot make them grow.
#pragma once

#include <coppice/app/http_message.hpp>
#include <coppice/state/agent.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <utility>

namespace switchboard {

/// How often each status was the answer.
using tally = std::map<int, std::uint64_t>;

// [counters]
class counters {
 public:
  static constexpr std::size_t methods = static_cast<std::size_t>(coppice::http_method::other) + 1;

  void count(coppice::http_method asked, int status) {
    by_method_[static_cast<std::size_t>(asked)].send_via(in_processes_, [status](tally t) {
      ++t[status];
      return t;
    });
  }

  /// With all that was counted before.   Blocks: until the agents have done that.
  std::map<coppice::http_method, tally> read() {
    std::apply([](auto&... all) { coppice::await(all...); }, by_method_);
    std::map<coppice::http_method, tally> now;
    for (std::size_t m = 0; m < methods; ++m) now[static_cast<coppice::http_method>(m)] = by_method_[m].get();
    return now;
  }

 private:
  coppice::scheduler_executor in_processes_;           // an action is short: no thread is woken for it
  std::array<coppice::agent<tally>, methods> by_method_;
};
// [/counters]

/// The program's; never destroyed, since an action may be under way when the program ends.
inline counters& all_counters() {
  static auto& all = *new counters;
  return all;
}

}  // namespace switchboard
