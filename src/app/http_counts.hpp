// SPDX-License-Identifier: Apache-2.0
//
// http_counts: what the program's HTTP servers have answered, by route, method and status, and in what time. Nothing that a client
// chooses becomes a name: a route is the path as the program wrote it, a method one of http_method's, a status one that a handler gave.
//
// Thread: any. The counts of a route are made once and are there for good: a route that is made anew, at a restart, goes on with them.
#pragma once

#include <coppice/app/http_message.hpp>
#include <coppice/base/detail/sync.hpp>

#include "app/quick_clock.hpp"
#include "process/class_counts.hpp"

#include <cstdint>
#include <string>

namespace coppice::internal {

/// Of the program, all its servers together.
struct http_totals {
  sync::tally<std::int64_t> open;        // connections
  sync::tally<std::uint64_t> accepted;
};
extern http_totals all_http;

struct route_counts {
  /// Answers of one method and status. A route has few of them; the last place is for all others, as status 0.
  struct answers {
    sync::tally<std::uint32_t> label;    // 1 + status + 1024 * method; 0: free
    sync::tally<std::uint64_t> count;
  };
  static constexpr std::size_t places = 16;

  http_method method;                    // of the route
  std::string pattern;
  answers by_status[places];
  time_histogram time;

  void add(http_method asked, int status, std::int64_t ns) noexcept;
};

/// Of the route with this method and path. Above a thousand they share one.
route_counts& counts_of_route(http_method method, const std::string& pattern);
/// Of requests that no route took, and of those that no handler saw.
route_counts& counts_of_unrouted() noexcept;
route_counts& counts_of_refused() noexcept;
/// Calls `visit(context, counts)` for all of them.
void for_each_route(void (*visit)(void* context, const route_counts& of), void* context);

/// Counts one request when its handler is done with it, however that goes.
class request_count {
 public:
  /// `since`: when its handler's time began. `over`: gets the time of its end.
  request_count(http_method asked, std::int64_t since, std::int64_t& over) noexcept : asked_(asked), since_(since), over_(over) {}
  ~request_count() {
    over_ = quick_now();
    (route != nullptr ? *route : counts_of_unrouted()).add(asked_, status, over_ > since_ ? over_ - since_ : 0);
  }
  request_count(const request_count&) = delete;
  route_counts* route = nullptr;         // set by a router
  int status = 503;                      // unless the handler gets to its end

 private:
  const http_method asked_;
  const std::int64_t since_;
  std::int64_t& over_;
};

}  // namespace coppice::internal
