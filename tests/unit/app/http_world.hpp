// SPDX-License-Identifier: Apache-2.0
//
// http_world: a runtime with a server on a free port of 127.0.0.1, whose crash reports are counted instead of printed.
#pragma once

#include <coppice/app/http_server.hpp>
#include <coppice/base/log_sink.hpp>
#include <coppice/process/process.hpp>

#include <atomic>
#include <string_view>
#include <utility>

#include "unit/app/http_client.hpp"

namespace coppice::testing {

class http_world {
 public:
  template <answers_requests F>
  explicit http_world(F handler, http_server_options o = {}) : rt({.workers = 2}) {
    crashes() = warnings() = 0;
    set_log_sink(&counting_sink);
    o.port = 0;
    o.in = &rt;
    server = run_server(std::move(handler), o);
  }
  ~http_world() {
    server = {};
    set_log_sink(nullptr);
  }
  http_world(const http_world&) = delete;

  http_client client() const { return http_client(server.port()); }
  http_answer ask(std::string_view request) const { return client().ask(request); }
  static std::atomic<int>& crashes() {
    static std::atomic<int> count;
    return count;
  }

  /// Reports of kind `http`.
  static std::atomic<int>& warnings() {
    static std::atomic<int> count;
    return count;
  }

  runtime rt;
  http_server server;

 private:
  inline static const log_sink counting_sink{[](void*, const report& r) {
                                               crashes() += r.kind == "crash";
                                               warnings() += r.kind == "http";
                                             },
                                             nullptr};
};

}  // namespace coppice::testing
