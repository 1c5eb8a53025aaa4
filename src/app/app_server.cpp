// SPDX-License-Identifier: Apache-2.0
//
// app_server: the atom's value says who may do what. Whoever has moved it to `starting`, `restarting` or `stopping` moves it on; a stop
// may take over from a restart, which then finds another value than its own. When another OS process has taken over, a process that has
// waited for that moves what runs to `taken_over`.
#include <coppice/app/app_server.hpp>

#include <coppice/otp/child.hpp>
#include <coppice/otp/gen_server.hpp>
#include <coppice/process/process.hpp>
#include <coppice/process/receive.hpp>

#include <charconv>
#include <optional>
#include <tuple>

namespace coppice {

namespace {

using phase_of = app_instance::phase_of;

app_server_error of_start(const http_server_error& e) {
  switch (e.why()) {
    case http_server_error::port_out_of_range:
      return {app_server_error::port_out_of_range, e.what()};
    case http_server_error::port_in_use:
      return {app_server_error::port_in_use, e.what()};
    case http_server_error::not_permitted:
      return {app_server_error::not_permitted, e.what()};
    case http_server_error::bad_address:
      return {app_server_error::bad_address, e.what()};
    case http_server_error::take_over_failed:
      return {app_server_error::take_over_failed, e.what()};
    case http_server_error::bad_certificate:
      return {app_server_error::bad_certificate, e.what()};
    case http_server_error::no_resources:
      break;
  }
  return {app_server_error::no_resources, e.what()};
}

/// Why `wanted` cannot begin now; nothing if it can.
std::optional<app_server_error> refusal(const app_instance& now, phase_of wanted) {
  const std::string on_port = " on port " + std::to_string(now.port);
  if (now.phase == app_instance::starting || now.phase == app_instance::stopping ||
      (now.phase == app_instance::restarting && wanted == app_instance::restarting))
    return app_server_error(app_server_error::busy, "the server" + on_port + " is being " +
        (now.phase == app_instance::starting ? "started" : now.phase == app_instance::stopping ? "stopped" : "restarted") + " just now");
  if (wanted == app_instance::starting && now.is_running())
    return app_server_error(app_server_error::already_running, "the server runs already," + on_port);
  if (wanted == app_instance::starting) return std::nullopt;
  if (wanted == app_instance::restarting && now.phase == app_instance::taken_over)
    return app_server_error(app_server_error::taken_over, "another OS process has taken over the server" + on_port);
  if (!now.is_running()) return app_server_error(app_server_error::not_running, "no server runs");
  if (now.server.is_answering_here())
    return app_server_error(app_server_error::in_handler, "a handler of the server" + on_port +
        " cannot wait for its own end: let another process do it");
  return std::nullopt;
}

/// Ends what was claimed, whichever way that comes: `next` is put into the atom, unless somebody has taken over.
class at_end {
 public:
  at_end(atom<app_instance>& of, const app_instance& claimed, app_instance after)
      : next(std::move(after)), of_(of), mine_(claimed.changes) {}
  ~at_end() {
    next.changes = mine_ + 1;
    try {
      for (;;) {
        const auto now = *of_;
        if (now->changes != mine_ || of_.compare_and_set(now, next)) return;
      }
    } catch (...) {  // a watch of the user's has thrown: the value is there
    }
  }
  at_end(const at_end&) = delete;
  app_instance next;

 private:
  atom<app_instance>& of_;
  const std::uint64_t mine_;
};

/// If another OS process has taken over from `server` and that is what runs in `of`: says so there.
void note_take_over(atom<app_instance>& of, const http_server& server) {
  if (!server.is_taken_over()) return;
  for (;;) {
    const auto now = *of;
    if (!now->is_running() || now->server.door() != server.door()) return;
    if (of.compare_and_set(now, {.phase = app_instance::taken_over, .generation = now->generation, .port = now->port, .changes = now->changes + 1}))
      return;
  }
}

/// Lets a process wait until `server` has been taken over, or has stopped.   Throws: exit_error, std::bad_alloc.
void wait_for_take_over(std::shared_ptr<atom<app_instance>> of, http_server server, runtime* in) {
  spawn(
      [of = std::move(of), server = std::move(server)] {
        monitor(server.door());
        receive([](const down&) {});
        note_take_over(*of, server);
      },
      {.label = "app_server_watch", .in = in});
}

}  // namespace

app_server::~app_server() {
  try {
    if (const http_server left = server()) left.stop(duration{0});
  } catch (...) {  // a process that ends may not wait: the connections close all the same
  }
}

/// Moves the instance to `wanted`.   Returns: what is there now.
result<app_instance, app_server_error> app_server::claim(phase_of wanted) {
  for (;;) {
    const auto now = this->now();
    if (auto why = refusal(*now, wanted)) return error(std::move(*why));
    app_instance next = *now;
    next.phase = wanted;
    ++next.changes;
    try {
      if (instance_->compare_and_set(now, next)) return next;
    } catch (...) {  // a watch of the user's has thrown: if that was set, nobody else would move it on
      const at_end back(*instance_, next, *now);
      throw;
    }
  }
}

result<http_handler, app_server_error> app_server::make_handler() {
  if (is_making_.exchange(1, detail::sync::acquire) != 0)  // for a restart that was stopped, and does not know it yet
    return error(app_server_error(app_server_error::busy, "another handler is still being made"));
  struct making {
    ~making() { of.store(0, detail::sync::release); }
    detail::sync::atomic<std::uint32_t>& of;
  } const held{is_making_};
  try {
    return make_();
  } catch (const std::exception& e) {
    return error(app_server_error(app_server_error::no_handler, std::string("the handler could not be made: ") + e.what()));
  }
}

result<int, app_server_error> app_server::try_start(std::string_view text) {
  int port = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), port);
  const std::string shown = '"' + std::string(text.substr(0, 40)) + '"';
  if (problem == std::errc::result_out_of_range)
    return error(app_server_error(app_server_error::port_out_of_range, "port " + shown + " is out of range: 0 to 65535"));
  if (problem != std::errc{} || end != text.data() + text.size())
    return error(app_server_error(app_server_error::not_a_port, shown + " is not a port: expected a number from 0 to 65535"));
  return try_start(port);
}

result<int, app_server_error> app_server::try_start(int port) {
  http_server server;
  {
    const auto mine = claim(app_instance::starting);
    if (!mine) return error(mine.error());
    at_end then(*instance_, *mine, {.generation = mine->generation, .port = mine->port});
    auto handler = make_handler();
    if (!handler) return error(std::move(handler.error()));
    http_server_options options = options_;
    options.port = port;
    auto started = try_run_server(std::move(*handler), options);
    if (!started) return error(of_start(started.error()));
    server = std::move(*started);
    options_.listen_fd = -1;                       // it was that server's
    if (server.door()) {
      try {
        wait_for_take_over(instance_, server, options.in);
      } catch (const exit_error& e) {
        server.stop(duration{0});
        return error(app_server_error(app_server_error::no_resources, e.what()));
      }
    }
    then.next = {.phase = app_instance::running, .server = server, .generation = mine->generation + 1, .port = server.port()};
  }
  note_take_over(*instance_, server);              // so soon that it was not said to run
  return server.port();
}

result<http_stop_result, app_server_error> app_server::try_stop(duration limit) {
  const auto mine = claim(app_instance::stopping);
  if (!mine) return error(mine.error());
  const at_end then(*instance_, *mine, {.generation = mine->generation, .port = mine->port});
  return mine->server.stop(limit);
}

result<http_restart_result, app_server_error> app_server::try_restart(duration limit) {
  const auto mine = claim(app_instance::restarting);
  if (!mine && mine.error().why() == app_server_error::not_running)
    return try_start().transform([](int) { return http_restart_result{}; });
  if (!mine) return error(mine.error());
  at_end then(*instance_, *mine, *mine);
  then.next.phase = app_instance::running;
  auto handler = make_handler();
  if (!handler) return error(std::move(handler.error()));
  try {
    const http_restart_result done = mine->server.restart(std::move(*handler), limit);
    ++then.next.generation;
    if (is_taken_over()) return error(app_server_error(app_server_error::taken_over, "another OS process has taken over meanwhile"));
    if (now()->changes != mine->changes) return error(app_server_error(app_server_error::not_running, "it was stopped meanwhile"));
    return done;
  } catch (const http_server_error& e) {
    return error(of_start(e));
  }
}

// --- as a child ------------------------------------------------------------------------------------------------------

namespace {

struct app_server_process {
  static constexpr server_options options{.trap_exit = true};
  app_server* of = nullptr;
  duration limit{};

  auto init(app_server* s, int port, duration l) {
    of = s;
    limit = l;
    if (s->is_taken_over()) return ok();           // it is to stay where it is now
    const auto started = s->try_start(port);
    if (!started && started.error().why() != app_server_error::already_running) throw started.error();
    return ok();                                   // already running: left so by a process that crashed
  }
  void terminate(const exit_reason& why) {
    if (why.is_quiet()) static_cast<void>(of->try_stop(limit));
  }
  auto fields() const { return std::tuple(of->port()); }
};

}  // namespace

child_spec app_server::child(int port, duration limit, const child_options& said) {
  child_options options = said;
  if (options.id.empty() && !options.name) options.id = "app_server";
  if (!options.shutdown) options.shutdown = limit == infinity ? infinity : limit + 2s;
  return coppice::child<app_server_process>(options, this, port, limit);
}

}  // namespace coppice
