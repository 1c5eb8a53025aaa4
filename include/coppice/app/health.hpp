// SPDX-License-Identifier: Apache-2.0
//
// health: what a load balancer, a container's supervisor or a person asks: does it work?
//
//     get("/livez", &live),                                      // it answers, so it lives
//     get("/healthz", health(runs("ch3"), health_check{"disk", &has_space}))
//
// Alive and ready are two questions. Who does not answer the first is started anew; who says no to the second gets no requests for a
// while. So nothing that other programs do belongs into the first.
#pragma once

#include <coppice/app/http_handler.hpp>
#include <coppice/app/http_message.hpp>
#include <coppice/base/function.hpp>

#include <concepts>
#include <string>
#include <utility>
#include <vector>

namespace coppice {

struct health_check {
  std::string name;
  function<bool() const> passes;  ///< may call servers; one that throws does not pass, and the answer says why
};

/// Whether a process of that name runs: a server, a supervisor, an application's.
health_check runs(std::string name);

namespace detail {
http_handler health_of(std::vector<health_check> checks);
}

/// 200 `{"status":"ok","checks":{"ch3":"ok"}}`, or 503 with `failing` and, of each check that does not pass, why. All are asked each
/// time, one after the other.
/// Thread: any, as far as the checks allow.
template <std::same_as<health_check>... C>
http_handler health(C... checks) {
  std::vector<health_check> all;
  (all.push_back(std::move(checks)), ...);
  return detail::health_of(std::move(all));
}

/// 200 `{"status":"ok"}`: a program that answers is alive.
http_response live();

}  // namespace coppice
