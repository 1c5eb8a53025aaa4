// SPDX-License-Identifier: Apache-2.0
//
// front: starts the HTTP server, restarts it when it is told to, and at an orderly end lets what is under way end. The server itself is
// in an atom and belongs to the program: it runs on when the front crashes, and the next one takes it over.
#pragma once

#include <coppice/app/app_server.hpp>
#include <coppice/otp/gen_server.hpp>
#include <coppice/process/process.hpp>

#include <cstdio>
#include <stdexcept>
#include <tuple>
#include <vector>

#include <signal.h>
#include <unistd.h>

#include "channel_routes.hpp"
#include "settings.hpp"

namespace switchboard {

inline std::vector<coppice::tls_certificate> certificates(const settings& s) {
  if (s.tls_certificate.empty() && s.tls_key.empty()) return {};
  return {{.certificate_file = s.tls_certificate, .key_file = s.tls_key}};
}

// [server]
/// The program's HTTP server. Each start and each restart makes the routes anew.
inline coppice::app_server& web_server(const settings& s = {}) {
  static coppice::app_server server([s, generation = 0]() mutable { return counted_routes(s, ++generation); },
                                    {.address = s.address,
                                     .tls = certificates(s),
                                     .listen_fd = s.listen_fd,
                                     .take_over = s.take_over,
                                     .take_over_timeout = drain_time});
  return server;
}
// [/server]

struct front {
  static constexpr coppice::named<front> server{"front"};
  static constexpr coppice::server_options options{.trap_exit = true};

  struct which_port {
    using reply = int;
  };
  struct restart {};
  using protocol = coppice::messages<which_port, restart, break_down, coppice::down>;

  // [init]
  auto init(settings s) {
    if (!web_server(s).is_running() && !web_server().is_taken_over()) web_server().start(s.port);
    http_ = web_server().server();
    show_in_feed("front");
    if (const coppice::pid door = http_.door()) coppice::monitor(door);
    return coppice::ok();
  }
  // [/init]
  int handle_call(which_port) const { return web_server().port(); }
  void handle_cast(restart) { web_server().restart(drain_time); }
  // [taken_over]
  /// Another program has taken over: this one ends as if it had been told to.
  void handle_info(const coppice::down& d) {
    if (d.reason.is_quiet()) ::kill(::getpid(), SIGTERM);
  }
  // [/taken_over]
  void handle_cast(break_down) { throw std::runtime_error("crashed on purpose"); }

  void terminate(const coppice::exit_reason& why) {
    if (!why.is_quiet()) return;  // the next front finds it running
    const auto stopped =
        web_server().try_stop(drain_time).value_or(coppice::http_stop_result{});  // nothing: another program has it
    const coppice::http_server_statistics all = http_.statistics();
    std::printf("switchboard: answered %llu requests on %llu connections; closed %zu idle, cut off %zu\n",
                static_cast<unsigned long long>(all.requests), static_cast<unsigned long long>(all.accepted),
                stopped.idle_closed, stopped.cut_off);
    std::fflush(stdout);
  }
  auto fields() const { return std::tuple(web_server().port()); }

 private:
  coppice::http_server http_{};  // of which it tells at the end
};

}  // namespace switchboard
