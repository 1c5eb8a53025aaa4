// SPDX-License-Identifier: Apache-2.0
//
// front: owns the HTTP server: it listens as long as this process lives. At an orderly end it lets what is under way end.
#pragma once

#include <coppice/app/http_server.hpp>
#include <coppice/otp/gen_server.hpp>

#include <cstdio>
#include <tuple>

#include "channel_routes.hpp"
#include "settings.hpp"

namespace switchboard {

struct front {
  static constexpr coppice::named<front> server{"front"};
  static constexpr coppice::server_options options{.trap_exit = true};

  struct which_port { using reply = int; };

  auto init(settings s) {
    http = coppice::run_server(channel_routes(s), {.port = s.port, .address = s.address});
    return coppice::ok();
  }
  int handle_call(which_port) const { return http.port(); }

  void terminate(const coppice::exit_reason& why) {
    if (!why.is_quiet()) return;                     // the server's handle goes with us
    const coppice::http_stop_result stopped = http.stop(drain_time);
    const coppice::http_server_statistics all = http.statistics();
    std::printf("switchboard: answered %llu requests on %llu connections; closed %zu idle, cut off %zu\n",
                static_cast<unsigned long long>(all.requests), static_cast<unsigned long long>(all.accepted), stopped.idle_closed, stopped.cut_off);
    std::fflush(stdout);
  }

  coppice::http_server http{};
  auto fields() const { return std::tuple(http ? int{http.port()} : 0); }
};

}  // namespace switchboard
