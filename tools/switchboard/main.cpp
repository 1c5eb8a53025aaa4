// SPDX-License-Identifier: Apache-2.0
//
// switchboard: channels over HTTP. ./run starts it; `--help` says what it can be told.
//
//     switchboard (one_for_one)      whoever crashes is started again alone
//       listeners                    who wants to hear what happens
//       feed                         tells them
//       lease_book                   remembers which channels are taken
//       ch3                          hands out the channels; begins with what the lease book remembers
//       ledger                       opens and closes the accounts of sessions
//       callers (rest_for_one)
//         session_names              sessions by the text that the callers chose
//         sessions                   one process a session; its end frees what it holds
//       front                        the HTTP server; stops first
//
// The first SIGTERM or SIGINT drains and ends the program with 0, a second one ends it at once.
#include <coppice/otp/application.hpp>
#include <coppice/runtime/service_manager.hpp>

#include <cstdio>
#include <string>

#include "account.hpp"
#include "ch3.hpp"
#include "counters.hpp"
#include "feed.hpp"
#include "front.hpp"
#include "ledger.hpp"
#include "session.hpp"
#include "throw_traces.hpp"

namespace {

using namespace coppice;
using namespace switchboard;

/// The socket that the service manager has opened for us: the one called http, or the only one. Else -1.
int given_socket() {
  static const int found = [] {
    const auto all = inherited_sockets();
    for (const auto& s : all)
      if (s.name == "http" || all.size() == 1) return s.fd;
    return -1;
  }();
  return found;
}

settings settings_of(const config& c) {
  return {.port = c.get<int>("port"), .channels = c.get<int>("channels"), .address = c.get<std::string>("address"), .host = c.get<std::string>("host"), .take_over = c.get<std::string>("take-over"), .tls_certificate = c.get<std::string>("tls-cert"), .tls_key = c.get<std::string>("tls-key"), .listen_fd = given_socket(),
          
          .allow_crash = c.get<bool>("allow-crash"), .allow_restart = c.get<bool>("allow-restart"),
          .sessions = c.get<unsigned>("session.most"),
          .session_idle = c.get<duration>("session.idle"), .session_credit = c.get<std::int64_t>("session.credit"),
          .price = c.get<std::int64_t>("price")};
}

supervisor_spec tree_of(const config& c) {
  const settings s = settings_of(c);
  // [tree]
  return {.name = "switchboard", .intensity = c.get<unsigned>("restarts"), .period = 10s, .children = {
      all_listeners().child(),
      child<feed>({.name = feed::server}, s),
      child<lease_book>({.name = lease_book::server}),
      child<ch3>({.name = ch3::server}, s.channels, s.price),
      child<ledger>({.name = ledger::server}, s.session_credit),
      child(supervisor_spec{.name = "callers", .strategy = rest_for_one, .children = {
          session_names().child(),
          child(dynamic_supervisor_spec{.name = "sessions", .max_children = s.sessions}),
      }}),
      child<front>({.name = front::server, .shutdown = drain_time + 2s}, s),
  }};
  // [/tree]
}

void greet(const config& c) {
  const settings s = settings_of(c);
  const std::string host = s.address == "0.0.0.0" ? "localhost" : s.address;
  const std::string at = (s.tls_certificate.empty() ? "" : "https://") + host + ":" + std::to_string(call(front::server, front::which_port{}));
  std::printf("switchboard: %d channels on %s%s\n\n%s\n", s.channels, s.tls_certificate.empty() ? "http://" : "", at.c_str(), to_text(tree(supervisor("switchboard"))).c_str());
  std::printf("  %-68s  in a browser: the channels live, and buttons\n", ((s.tls_certificate.empty() ? "http://" : "") + at + "/").c_str());
  const auto line = [&](const std::string& command, const char* what) { std::printf("  %-66s  %s\n", ("curl " + command).c_str(), what); };
  line("-X POST " + at + "/channels", "takes the first free channel");
  line("-X POST '" + at + "/channels?ttl=5s'", "takes one for five seconds");
  line(at + "/channels", "lists them");
  line("-X DELETE " + at + "/channels/1", "gives channel 1 back");
  line("-X POST -H 'X-Session: Ann B.' " + at + "/channels", "takes one for a session");
  line(at + "/sessions", "lists sessions");
  line(at + "/ledger", "shows who owes how much: the sum is 0");
  line(at + "/counters", "counts answers");
  line("-X DELETE -H 'X-Session: Ann B.' " + at + "/sessions", "ends one: its channels are free again");
  if (s.allow_crash)
    line("-X POST " + at + "/crash/ch3", "crashes ch3: a report, and a new one with all leases");
  else
    std::printf("  with --allow-crash also POST /crash/ch3; with --log.form=json reports for machines; --help lists the rest\n");
  std::printf("  SIGTERM or ctrl-C ends it in order\n");
  std::fflush(stdout);
}

void say_the_end(const config&) {
  std::printf("switchboard: ends, at most %d s for what is under way\n", static_cast<int>(drain_time / 1s));
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  given_socket();                                     // while nobody else looks into the environment
  session_names();                                   // before the first process: they outlive all
  all_listeners();
  routes_generation();
  all_accounts();
  all_counters();
  record_throws();
  return run({.name = "switchboard",
              .options = {{.key = "port", .fallback = 8888, .help = "0 takes any free one", .environment = "PORT", .positional = true, .least = 0, .most = 65535},
                          {.key = "channels", .fallback = 8, .help = "how many there are", .least = 1, .most = 1'000'000},
                          {.key = "address", .fallback = "127.0.0.1", .help = "where to listen; 0.0.0.0 for every network"},
                          {.key = "host", .fallback = "", .help = "its name, as example.com: it answers to that and to localhost alone. Else, with another address, to any"},
                          {.key = "take-over", .fallback = "", .help = "path of a socket in a directory of yours (0700): takes over from who runs there"},
                          {.key = "tls-cert", .fallback = "", .help = "certificate (PEM): HTTPS instead of HTTP"},
                          {.key = "tls-key", .fallback = "", .help = "its key (PEM)"},
                          {.key = "allow-crash", .fallback = false, .help = "POST /crash/ch3, /crash/lease_book, /crash/ledger, /crash/feed, /crash/front, /crash/session"},
                          {.key = "allow-restart", .fallback = false, .help = "POST /admin/restart"},
                          {.key = "restarts", .fallback = 50, .help = "of crashed servers in 10 s; one more ends the program", .least = 0, .most = 1'000'000},
                          {.key = "session.most", .fallback = 10'000, .help = "how many sessions there may be", .least = 1, .most = 10'000'000},
                          {.key = "session.idle", .fallback = duration(1h), .help = "after which an unused session ends", .least = 1},
                          {.key = "session.credit", .fallback = std::int64_t{1000}, .help = "how much a session may owe", .least = 0, .most = 1'000'000'000},
                          {.key = "price", .fallback = std::int64_t{1}, .help = "of an allocation, in credit", .least = 0, .most = 1'000'000'000}},
              .start = &tree_of,
              .started = &greet,
              .prep_stop = &say_the_end},
             argc, argv, {.stop_timeout = drain_time + 5s});
}
