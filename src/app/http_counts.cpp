// SPDX-License-Identifier: Apache-2.0
#include "app/http_counts.hpp"

#include <memory>
#include <vector>

namespace coppice::internal {

http_totals all_http;

namespace {

constexpr std::size_t most_routes = 1000;

struct known_routes {
  sync::spinlock lock;
  std::vector<std::unique_ptr<route_counts>> all;
  route_counts unrouted{http_method::other, "(none)", {}, {}};
  route_counts refused{http_method::other, "(refused)", {}, {}};
  route_counts others{http_method::other, "(others)", {}, {}};
};
/// Never destroyed: requests may be under way when the program ends.
known_routes& known() {
  static auto& all = *new known_routes;
  return all;
}

std::uint32_t label_of(http_method method, int status) noexcept {
  return 1 + static_cast<std::uint32_t>(status) + 1024 * static_cast<std::uint32_t>(method);
}

}  // namespace

void route_counts::add(http_method asked, int status, std::int64_t ns) noexcept {
  time.add(ns, 1);
  const std::uint32_t label = label_of(asked, status >= 100 && status < 600 ? status : 500);
  for (std::size_t i = 0; i + 1 < places; ++i) {
    std::uint32_t there = by_status[i].label.get();
    if (there == 0) there = by_status[i].label.claim(label);
    if (there == label) return by_status[i].count.add_shared(1);
  }
  by_status[places - 1].label.set(label_of(http_method::other, 0));
  by_status[places - 1].count.add_shared(1);
}

route_counts& counts_of_route(http_method method, const std::string& pattern) {
  known_routes& routes = known();
  auto fresh = std::make_unique<route_counts>(method, pattern);
  std::vector<std::unique_ptr<route_counts>> larger;
  larger.reserve(most_routes);                     // not under the lock
  sync::lock_guard held(routes.lock);
  for (const auto& r : routes.all)
    if (r->method == method && r->pattern == pattern) return *r;
  if (routes.all.size() == most_routes) return routes.others;
  if (routes.all.capacity() == 0) routes.all.swap(larger);
  return *routes.all.emplace_back(std::move(fresh));
}

route_counts& counts_of_unrouted() noexcept { return known().unrouted; }
route_counts& counts_of_refused() noexcept { return known().refused; }

void for_each_route(void (*visit)(void* context, const route_counts& of), void* context) {
  known_routes& routes = known();
  std::size_t count = 0;
  {
    sync::lock_guard held(routes.lock);
    count = routes.all.size();
  }
  for (std::size_t i = 0; i != count; ++i) visit(context, *routes.all[i]);   // they stay where they are
  for (const route_counts* r : {&routes.unrouted, &routes.refused, &routes.others}) visit(context, *r);
}

}  // namespace coppice::internal
