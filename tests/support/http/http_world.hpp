// SPDX-License-Identifier: Apache-2.0
//
// http_world: a runtime with a server on a free port of 127.0.0.1, whose reports are kept instead of printed.
#pragma once

#include <coppice/app/http_server.hpp>
#include <coppice/process/process.hpp>

#include <string_view>
#include <utility>

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
  http_answer ask(std::string_view request) const { return client().ask(request); }
  static int crashes() { return report_log::count("crash"); }
  /// What the server itself reported.
  static int warnings() { return report_log::count("http"); }

  report_log log;
  runtime rt{{.workers = 2}};
  http_server server;
};

}  // namespace coppice::testing
