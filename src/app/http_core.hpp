// SPDX-License-Identifier: Apache-2.0
//
// http_core: what the handles, the listener and the connections of one HTTP server share. Counted: it goes with the last of
// them. Design note: docs/internals/io.md.
//
// Who may touch what: the options never change; counters and the phase are atomic; the list of connections, that of those who wait
// for an end, and the listener are under `lock`, the current service is under `service_lock`.
#pragma once

#include <coppice/app/http_server.hpp>
#include <coppice/base/detail/sync.hpp>
#include <coppice/process/pid.hpp>

#include "app/http_service.hpp"
#include "app/tls_context.hpp"
#include "app/ws_handover.hpp"
#include "process/packet_socket.hpp"
#include "process/stream_socket.hpp"

#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace coppice::internal {

struct connection;

/// Somebody who waits for the end of all, or of a service.
struct stop_waiter {
  detail::slot* who;
  std::uint64_t number;
};

/// A connection on its way to another OS process.
struct moved_connection {
  owned_fd socket;
  std::string bytes;                       // read, and not dealt with
  std::unique_ptr<ws_handover> websocket;  // it is one; null: it is none
};

using moved_list = std::list<moved_connection>;

struct http_core {
  /// running -> draining: answers say `Connection: close`; -> closing: idle connections close, too.
  enum phase_of : std::uint32_t { running, draining, closing };

  http_core(http_handler&& h, const http_server_options& o, system& s)
      : options(o), in(s), service_(new http_service(std::move(h))) {}
  ~http_core() { delete service_.load(sync::relaxed); }
  http_core(const http_core&) = delete;

  const http_server_options options;
  system& in;
  std::uint16_t port = 0;
  bool is_secure() const noexcept { return !options.tls.empty(); }
  sync::atomic<std::uint32_t> holders{1};
  sync::atomic<std::uint32_t> phase;
  sync::atomic<std::uint64_t> living;  // connections and the listener
  sync::atomic<std::uint64_t> open;    // connections
  sync::atomic<std::uint64_t> accepted;
  sync::atomic<std::uint64_t> requests;
  sync::atomic<std::uint64_t> failed;
  sync::atomic<std::uint64_t> failed_handshakes;
  sync::atomic<std::uint64_t> idle_closed;
  sync::atomic<std::uint32_t> accept_paused;  // the listener waits for a connection to close
  sync::atomic<std::uint32_t> handles{1};
  sync::atomic<std::uint32_t> awaited_services;  // how many wait for the end of a service

  sync::atomic<std::uint32_t> moving;            // 1: another OS process listens, and gets the connections
  sync::atomic<std::uint32_t> inheriting;        // 1: connections may still come from a predecessor
  sync::atomic<std::uint32_t> all_over;          // 1: the time for a stop is up, for whatever is under way
  sync::atomic<std::uint32_t> taken_over;        // 1: another OS process has all that could move; what is left ends

  sync::spinlock lock;
  pid listener{};  // none: it has left
  pid door{};
  pid heir{};  // takes what a predecessor passes on
  moved_list moved;
  connection* first = nullptr;
  std::vector<stop_waiter> waiters;

  void hold() noexcept { holders.fetch_add(1, sync::relaxed); }
  void drop() noexcept {
    if (holders.fetch_sub(1, sync::acq_rel) == 1) delete this;
  }
  bool is_running() const noexcept { return phase.load(sync::relaxed) == running; }
  /// One of the living has ended: wakes those who wait for the last.
  void leave() noexcept;
  void wake_waiters() noexcept;
  pid listener_now() noexcept {
    sync::lock_guard held(lock);
    return listener;
  }

  bool is_moving() const noexcept { return moving.load(sync::seq_cst) != 0; }
  /// The listener asks whether it is to leave.
  bool takes_leave_of_listener() noexcept {
    {
      sync::lock_guard held(lock);
      if (!is_moving()) return false;
      listener = {};
    }
    wake_waiters();
    return true;
  }
  /// A connection leaves: the one in `c` is spliced away. False: it stays there.
  bool take_leave_of(moved_list& c) noexcept {
    {
      sync::lock_guard held(lock);
      if (!is_moving()) return false;
      moved.splice(moved.end(), c);
    }
    wake_waiters();
    return true;
  }
  bool has_moved() noexcept {
    sync::lock_guard held(lock);
    return !moved.empty();
  }
  /// While it moves: no connection is left, and none comes any more.
  bool is_empty() noexcept {
    sync::lock_guard held(lock);
    return moved.empty() && !listener && inheriting.load(sync::seq_cst) == 0 && open.load(sync::seq_cst) == 0;
  }
  moved_list take_moved() noexcept {
    sync::lock_guard held(lock);
    return std::exchange(moved, {});
  }
  /// Nobody leaves any more.   Returns: whether there is a listener; who was about to leave, behind `rest`.
  bool end_moving(moved_list& rest) noexcept {
    sync::lock_guard held(lock);
    moving.store(0, sync::seq_cst);
    rest.splice(rest.end(), moved);
    return static_cast<bool>(listener);
  }

  /// What answers a request that begins now, held.
  http_service& take_service() noexcept {
    sync::lock_guard held(service_lock_);
    http_service& now = *service_.load(sync::relaxed);
    now.holders.fetch_add(1, sync::relaxed);
    return now;
  }
  /// Whether requests that begin now are answered by `s`, which the caller holds.
  bool is_current(const http_service& s) const noexcept { return service_.load(sync::seq_cst) == &s; }
  /// A holder of `s` less; the last one destroys it.
  void give_service(http_service& s) noexcept;
  /// From now on requests begin with `fresh`, and handshakes with `certificates`.   Returns: what was there; its hold passes to the
  /// caller.
  http_service& put_service(http_service& fresh, std::shared_ptr<const tls_context> certificates) noexcept {
    sync::lock_guard held(service_lock_);
    tls_.swap(certificates);
    return *service_.exchange(&fresh, sync::seq_cst);
  }
  /// Reads the certificates; null without any.   Throws: http_server_error.
  std::shared_ptr<const tls_context> load_tls() const {
    return is_secure() ? std::make_shared<const tls_context>(options.tls) : nullptr;
  }
  void put_tls(std::shared_ptr<const tls_context> certificates) noexcept { tls_ = std::move(certificates); }
  std::shared_ptr<const tls_context> tls() noexcept {
    sync::lock_guard held(service_lock_);
    return tls_;
  }

 private:
  sync::spinlock service_lock_;
  sync::atomic<http_service*> service_;
  std::shared_ptr<const tls_context> tls_;
};

/// The calling process or thread among those who wait for an end.
struct end_waiter {
  end_waiter(http_core& c, detail::slot& me);
  ~end_waiter();
  end_waiter(const end_waiter&) = delete;
  http_core& core;
  detail::slot& who;
  const std::uint64_t number;
};

/// As http_server::stop.
http_stop_result stop_http(http_core& core, duration drain);

/// A behaviour that knows `io_ready` and nothing else.
constexpr detail::behaviour socket_behaviour(std::string_view name,
                                             void (*handle)(detail::slot&, detail::node*) noexcept) noexcept {
  return {.name = name,
          .handle = handle,
          .handle_several = nullptr,
          .finish = [](detail::slot&, detail::handler_frame&) noexcept {},
          .find = [](const detail::class_descriptor&, detail::node_kind, std::uint64_t) noexcept -> detail::trampoline {
            return nullptr;
          },
          .ended = [](detail::slot&, const exit_reason&) {}};
}
/// Takes the node. False: it was something else, and was refused.
bool take_io_ready(detail::node* n) noexcept;

/// Starts the process that accepts on `fd`, which belongs to it from now on; when that is killed, another one goes on.
/// Takes `fd` in any case.   Throws: std::system_error, exit_error.
void start_listener(http_core& core, int fd);

/// Starts the process of the connection `fd` with `peer`, of which `bytes` have been read; `websocket`: they begin with the head that it
/// goes on with. Takes `fd` in any case.   Throws: std::system_error, exit_error.
void start_connection(http_core& core, int fd, const socket_peer& peer, std::string_view bytes = {},
                      std::unique_ptr<ws_handover> websocket = nullptr);

/// Tells a process to look at its socket.
void send_look(pid who) noexcept;
/// The pids of all connections.
std::vector<pid> connections_of(http_core& core);
/// The same, with what can be said about them.
std::vector<http_connection> list_connections(http_core& core);
/// Lets those WebSockets find out that there is another handler which may go on with them.
void hand_over_websockets(http_core& core);
/// Lets every connection with a request under way ask whether that has still time.
void wake_connections(http_core& core);
/// Whether the calling process answers one of this server's requests.
bool is_in_request_of(const http_core& core) noexcept;

}  // namespace coppice::internal
