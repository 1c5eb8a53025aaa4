// SPDX-License-Identifier: Apache-2.0
//
// http_world: a runtime with a server on a free port of 127.0.0.1, whose reports are kept instead of printed.
#pragma once

#include <coppice/app/http_server.hpp>
#include <coppice/process/process.hpp>

#include <memory>
#include <optional>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "support/eventually.hpp"
#include "support/http/http_client.hpp"
#include "support/http/report_log.hpp"
#include "support/http/world_security.hpp"

namespace coppice::testing {

struct http_world {
  template <answers_requests F>
  explicit http_world(F handler, http_server_options o = {}) {
    if (o.port == http_server_options{}.port) o.port = 0;
    if (o.tls.empty()) o.tls = certificates_of_worlds();
    o.in = &rt;
    server = run_server(std::move(handler), o);
  }
  http_world(const http_world&) = delete;

  http_client client() const { return http_client(server.port()); }
  /// A client whose handshake both ends have done. Where the time for a head is short, that for a handshake is, too, and may be over: then there
  /// is another client. `/` must be answered with 200.
  http_client shaken() const {
    std::optional<http_client> c;
    if (!eventually([&] {
          try {
            c.emplace(client());
            return !worlds_are_secure() || c->ask(get_request("/")).status == 200;
          } catch (const std::runtime_error&) {
            return false;
          }
        }))
      throw std::runtime_error("no handshake was in time");
    return std::move(*c);
  }
  http_answer ask(std::string_view request) const { return client().ask(request); }
  static int crashes() { return report_log::count("crash"); }
  /// What the server itself reported.
  static int warnings() { return report_log::count("http"); }

  report_log log;
  runtime rt{{.workers = 2}};
  http_server server;
};

/// The server that `make` starts to take over from `first`, whose time for that is short and goes for getting ready, too: where that was not in
/// time there is another one.   Returns: when `first` is done; nothing if it never is.
template <class Make>
auto successor_in_time(const http_world& first, Make&& make) -> decltype(make()) {
  decltype(make()) second;
  const bool done = eventually([&] {
    try {
      second.reset();
      second = make();
      return eventually([&] { return first.server.is_taken_over(); }, std::chrono::seconds(2));
    } catch (const http_server_error&) {
      return false;
    }
  });
  return done ? std::move(second) : nullptr;
}

}  // namespace coppice::testing
