// SPDX-License-Identifier: Apache-2.0
//
// http_core: what the handles, the listener and the connections of one HTTP server share. Counted: it goes with the last of
// them. Design note: docs/internals/io.md.
//
// Who may touch what: the options and the handler never change; counters and the phase are atomic; the list of connections
// and of those who wait for the end is under `lock`.
#pragma once

#include <coppice/app/http_server.hpp>
#include <coppice/base/detail/sync.hpp>
#include <coppice/process/pid.hpp>

#include "process/stream_socket.hpp"

#include <cstdint>
#include <vector>

namespace coppice::internal {

namespace sync = detail::sync;

struct connection;

/// Somebody in http_server::stop.
struct stop_waiter {
  detail::slot* who;
  std::uint64_t number;
};

struct http_core {
  /// running -> draining: answers say `Connection: close`; -> closing: idle connections close, too.
  enum phase_of : std::uint32_t { running, draining, closing };

  http_core(http_handler&& h, const http_server_options& o, system& s) : handler(std::move(h)), options(o), in(s) {}

  const http_handler handler;
  const http_server_options options;
  system& in;
  std::uint16_t port = 0;
  sync::atomic<std::uint32_t> holders{1};
  sync::atomic<std::uint32_t> phase;
  sync::atomic<std::uint64_t> living;  // connections and the listener
  sync::atomic<std::uint64_t> open;    // connections
  sync::atomic<std::uint64_t> accepted;
  sync::atomic<std::uint64_t> requests;
  sync::atomic<std::uint64_t> failed;
  sync::atomic<std::uint64_t> idle_closed;
  sync::atomic<std::uint32_t> accept_paused;  // the listener waits for a connection to close
  sync::atomic<std::uint32_t> handles{1};
  pid listener{};

  sync::spinlock lock;
  connection* first = nullptr;
  std::vector<stop_waiter> waiters;

  void hold() noexcept { holders.fetch_add(1, sync::relaxed); }
  void drop() noexcept {
    if (holders.fetch_sub(1, sync::acq_rel) == 1) delete this;
  }
  bool is_running() const noexcept { return phase.load(sync::relaxed) == running; }
  /// One of the living has ended: wakes those who wait for the last.
  void leave() noexcept;
};

/// A behaviour that knows `io_ready` and nothing else.
constexpr detail::behaviour socket_behaviour(std::string_view name,
                                             void (*handle)(detail::slot&, detail::node*) noexcept) noexcept {
  return {.name = name,
          .handle = handle,
          .finish = [](detail::slot&, detail::handler_frame&) noexcept {},
          .find = [](const detail::class_descriptor&, detail::node_kind, std::uint64_t) noexcept -> detail::trampoline {
            return nullptr;
          },
          .ended = [](detail::slot&, const exit_reason&) {}};
}
/// Takes the node. False: it was something else, and was refused.
bool take_io_ready(detail::node* n) noexcept;

/// Starts the process that accepts on `s`, which belongs to it from now on, and watches it.
/// Throws: std::system_error, exit_error.
pid start_listener(http_core& core, const char* address, std::uint16_t port);

/// Starts the process of the connection `fd`. Takes `fd` in any case.   Throws: std::system_error, exit_error.
void start_connection(http_core& core, int fd);

/// Tells a process to look at its socket.
void send_look(pid who) noexcept;
/// The pids of all connections.
std::vector<pid> connections_of(http_core& core);

}  // namespace coppice::internal
