// SPDX-License-Identifier: Apache-2.0
//
// app_server: an application and its running HTTP server, held in an atom: started, stopped and restarted from anywhere, by a person at
// a prompt, a signal, a supervisor, while clients use it.
//
//     app_server app([] { return router{get("/", [] { return text("App Server Running"); })}; });
//     app.start(8888);
//     app.restart();                               // the router is made anew; no connection is closed
//     app.stop(100ms);                             // what is under way may end, for so long
//
// Given is a function that makes the handler, called for each start and restart, or a handler, of which each gets a copy.
// Design note: docs/internals/io.md.
#pragma once

#include <coppice/app/http_handler.hpp>
#include <coppice/app/http_server.hpp>
#include <coppice/base/detail/sync.hpp>
#include <coppice/base/function.hpp>
#include <coppice/base/result.hpp>
#include <coppice/process/child_spec.hpp>
#include <coppice/state/atom.hpp>

#include <concepts>
#include <cstdint>
#include <exception>
#include <memory>  // the atom may outlive the app_server for a moment
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace coppice {

/// Why nothing was started, stopped or restarted. `what()` says it in words.
class app_server_error : public std::exception {
 public:
  enum kind : std::uint8_t {
    already_running,
    not_running,
    busy,               ///< somebody else is starting or stopping it just now
    in_handler,         ///< one of its own handlers would wait for itself: let another process do it
    no_handler,         ///< the function that makes it has thrown; what ran before goes on
    not_a_port,         ///< not a number
    port_out_of_range,
    port_in_use,        ///< the text says by whom, where that can be found out
    not_permitted,
    bad_address,
    no_resources,
    take_over_failed,
    bad_certificate,    ///< or its key; at a restart: what ran before goes on
    taken_over          ///< a restart of what another OS process runs now; a start takes it back
  };
  app_server_error(kind why, std::string what) : what_(std::move(what)), why_(why) {}
  kind why() const noexcept { return why_; }
  const char* what() const noexcept override { return what_.c_str(); }

 private:
  std::string what_;
  kind why_;
};

/// What the atom of an app_server holds.
struct app_instance {
  /// taken_over: another OS process has its port and its connections (`http_server_options::take_over`), and nothing is left here.
  enum phase_of : std::uint8_t { none, starting, running, restarting, stopping, taken_over };
  phase_of phase = none;
  http_server server{};          ///< while it runs
  std::uint64_t generation = 0;  ///< how many handlers there have been
  int port = 0;                  ///< on which it runs, or ran last
  std::uint64_t changes = 0;     ///< how many values there have been

  bool is_running() const noexcept { return phase == running || phase == restarting; }
};

/// A function that makes a handler. It is called by one at a time.
template <class F>
concept makes_handler = std::invocable<F&> && answers_requests<std::invoke_result_t<F&>>;

/// An application and its running server. Neither copied nor moved: it is one place, as the atom in it is.
/// Thread: any, all functions but the destructor. `start`, `stop` and `restart` block the calling process or thread.
class app_server {
 public:
  template <class F>
    requires(makes_handler<F> || (answers_requests<F> && std::copy_constructible<F>))
  explicit app_server(F application, http_server_options options = {})
      : options_(std::move(options)), make_(maker_from(std::move(application))) {
    instance_->reset({.port = options_.port});
  }
  /// Stops at once.
  ~app_server();
  app_server(const app_server&) = delete;
  app_server& operator=(const app_server&) = delete;

  /// Starts it on `port`, 0: any free one; without an argument: where it ran last, or on the port of its options.
  /// Returns: the port.   Fails: app_server_error.
  int start() { return try_start().value(); }
  int start(int port) { return try_start(port).value(); }
  int start(std::string_view port) { return try_start(port).value(); }
  result<int, app_server_error> try_start() { return try_start(now()->port); }
  result<int, app_server_error> try_start(int port);
  result<int, app_server_error> try_start(std::string_view port);

  /// Takes no connection any more, lets running requests end for at most `limit`, and answers those that are left with 503.
  /// Returns: how many those were, and how many connections were idle.
  /// Fails:   app_server_error: not_running, busy, in_handler.   Blocks: at most `limit` and a little.
  http_stop_result stop(duration limit = 100ms) { return try_stop(limit).value(); }
  result<http_stop_result, app_server_error> try_stop(duration limit = 100ms);

  /// Makes the handler anew, and has it answer every request from now on; requests under way end with the old one, for at most
  /// `limit`. The port stays open and every connection stays: a client notices nothing. What does not run is started.
  /// Returns: how many requests were cut off at the limit.
  /// Fails:   app_server_error; then what ran before goes on. not_running: it was stopped meanwhile.
  http_restart_result restart(duration limit = 5s) { return try_restart(limit).value(); }
  result<http_restart_result, app_server_error> try_restart(duration limit = 5s);

  /// False, too, once another OS process has taken over and the last connection here is gone.
  bool is_running() const { return now()->is_running(); }
  /// Another OS process has taken over, and nobody has started it here since.
  bool is_taken_over() const { return now()->phase == app_instance::taken_over; }
  /// On which it runs, or ran last.
  int port() const { return now()->port; }
  /// The running server, or one that is none.
  http_server server() const { return now()->server; }
  /// To look at, and to watch.
  atom<app_instance>& instance() noexcept { return *instance_; }

  /// As a child: its process starts it on `port` and, at an orderly end, stops it with `limit`. If that process crashes, the server runs
  /// on, and the next one takes it over: no outage. One that starts when another OS process has taken over leaves it there. The app_server
  /// has to outlive the supervisor.
  child_spec child(int port, duration limit = 5s, const child_options& options = {});

 private:
  template <class F>
  static function<http_handler()> maker_from(F f) {
    if constexpr (makes_handler<F>)
      return [make = std::move(f)]() mutable { return http_handler(make()); };
    else
      return [copied = std::move(f)] { return http_handler(F(copied)); };
  }
  view<app_instance> now() const { return **instance_; }
  result<http_handler, app_server_error> make_handler();
  result<app_instance, app_server_error> claim(app_instance::phase_of wanted);

  http_server_options options_;
  function<http_handler()> make_;  // by whoever has set `is_making_`
  detail::sync::atomic<std::uint32_t> is_making_;
  std::shared_ptr<atom<app_instance>> instance_ = std::make_shared<atom<app_instance>>();  // also of who waits for a take-over
};

}  // namespace coppice
