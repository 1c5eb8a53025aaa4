// SPDX-License-Identifier: Apache-2.0
//
// http_server: HTTP/1.1 on a port. Each connection is a process that holds neither stack nor buffer while it is idle; each
// request runs in a process of its own, so that a handler that throws, hangs or is killed ends nobody but itself: its
// client gets 500 or 503 and the connection goes on (docs/internals/io.md).
//
//     auto server = run_server(router{get("/", [] { return text("hello"); })}, {.port = 8888});
//     …
//     server.stop(10s);
#pragma once

#include <coppice/app/http_message.hpp>
#include <coppice/app/router.hpp>
#include <coppice/base/result.hpp>
#include <coppice/base/time.hpp>
#include <coppice/process/pid.hpp>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace coppice {

class runtime;

namespace internal {
struct http_core;
}

/// Files in PEM.
struct tls_certificate {
  std::string certificate_file;  ///< the server's own first, then those that lead up to the authority
  std::string key_file;          ///< of the first of them; without a password
};

struct http_server_options {
  int port = 8888;                           ///< 0: any free one; `port()` says which
  std::string address = "127.0.0.1";         ///< "0.0.0.0": all of the machine's
  std::size_t max_head_bytes = 8 * 1024;     ///< 431, or 414 for the first line alone; at most 15 KiB
  std::size_t max_body_bytes = 1024 * 1024;  ///< 413
  std::size_t max_connections = 100'000;     ///< above it, new ones wait in the kernel's queue
  duration idle_timeout = 60s;               ///< between two requests: closed
  duration head_timeout = 10s;               ///< for a whole head, from its first byte: 408; for a handshake of TLS: closed
  duration body_timeout = 30s;               ///< for a whole body: 408
  duration write_timeout = 30s;              ///< without any progress of a write: closed
  duration handler_timeout = 30s;            ///< then the handler's process is killed: 503
  /// None: plain HTTP. Else TLS 1.2 and 1.3: the first one is shown, or the one that is for the name that the client asks for.
  std::vector<tls_certificate> tls{};
  /// A socket that listens already and belongs to the server once that has started: `port` and `address` are not looked at.
  int listen_fd = -1;
  /// Where this server takes over from the one that runs, if there is one, and waits for the one that will take over from it: a path in
  /// a directory that is the user's own (0700). Empty: neither. Sockets move, what the program has in memory does not
  /// (docs/guide/restarting.md).
  std::string take_over{};
  duration take_over_timeout = 30s;          ///< for a successor to get ready, then for requests under way to end
  runtime* in = nullptr;                     ///< null: the running process's, or the thread's, runtime
};

/// Why no server was started. `what()` says it in words.
class http_server_error : public std::exception {
 public:
  enum kind : std::uint8_t {
    port_out_of_range,
    port_in_use,
    not_permitted,
    bad_address,
    no_resources,
    take_over_failed,
    bad_certificate  ///< or its key: cannot be read, do not belong together, expired
  };
  http_server_error(kind why, std::string what) : what_(std::move(what)), why_(why) {}
  kind why() const noexcept { return why_; }
  const char* what() const noexcept override { return what_.c_str(); }

 private:
  std::string what_;
  kind why_;
};

struct http_server_statistics {
  std::size_t connections;  ///< open
  std::uint64_t accepted;
  std::uint64_t requests;  ///< answered, in whatever way
  std::uint64_t failed;    ///< answered with 500 or 503 because the handler failed
  std::uint64_t failed_handshakes;  ///< of TLS: the client speaks none, or not ours
};

enum class http_connection_state : std::uint8_t { idle, handshake, head, request, streaming, events, websocket, closing };
/// `idle` … `closing`.
std::string_view to_text(http_connection_state state) noexcept;

/// One client, as it was a moment ago.
struct http_connection {
  pid who{};  ///< its process: `monitor(who)` tells of its end, `exit(who, exit_reason::kill)` is its end
  http_peer peer{};
  http_connection_state state = http_connection_state::idle;
  duration in_state{};          ///< how long it has been so
  duration open_for{};          ///< since it was accepted
  std::uint64_t requests = 0;   ///< answered, or begun to be
};

/// How a stop went.
struct http_stop_result {
  std::size_t idle_closed = 0;  ///< connections without a request under way
  std::size_t cut_off = 0;      ///< requests that were not done in time: answered with 503, or closed
};

/// How a restart went.
struct http_restart_result {
  std::size_t cut_off = 0;  ///< requests of the old handler that were not done in time: answered with 503
};

/// A handle of a running HTTP server; copies mean the same one. When the last handle goes, the server stops at once.
/// Thread: any; `stop` and the last destruction not from one of its own handlers.
class http_server {
 public:
  http_server() noexcept = default;  ///< of no server
  http_server(const http_server& other) noexcept;
  http_server(http_server&& other) noexcept : core_(std::exchange(other.core_, nullptr)) {}
  http_server& operator=(http_server other) noexcept {
    std::swap(core_, other.core_);
    return *this;
  }
  ~http_server();

  explicit operator bool() const noexcept { return core_ != nullptr; }
  std::uint16_t port() const noexcept;
  http_server_statistics statistics() const noexcept;
  /// All open connections, in no order.   Cost: linear; new and ending ones wait meanwhile.
  std::vector<http_connection> connections() const;

  /// Takes no connection any more, lets what is under way end, tells clients to go, closes idle connections after a moment,
  /// and whatever is left when `drain` is over.
  /// Returns: what it had to close. At once, with nothing, when it has been stopped already.
  /// Blocks:  the calling process or thread, at most `drain` and a little.
  http_stop_result stop(duration drain = 5s) const;

  /// Has every request that begins from now on answered by `handler`. No connection is closed and none is refused: those that are
  /// open take the new handler with their next request, WebSockets that may be handed over between two messages
  /// (docs/guide/restarting.md). Then lets what the old one has under way end.
  /// Certificates are read again: who connects from now on gets those.
  /// Returns: when the old handler is gone, or `limit` has passed: how many of its requests were cut off then.
  /// Fails:   std::bad_alloc, http_server_error (bad_certificate); then nothing has changed.
  /// Blocks:  the calling process or thread, at most `limit` and a little. In one of its own handlers: it waits for itself.
  template <answers_requests F>
  http_restart_result restart(F handler, duration limit = 5s) const {
    return restart_core(http_handler(std::move(handler)), limit);
  }
  /// Who waits for a successor (`http_server_options::take_over`); nobody without that. It ends with `shutdown: taken over` when another
  /// OS process has taken over: this server has stopped then. To be monitored.
  pid door() const noexcept;
  /// Whether another OS process has taken over: it has the port and the connections; this server has stopped, or does so just now.
  bool is_taken_over() const noexcept;
  /// Whether the calling process is one of its handlers'.
  bool is_answering_here() const noexcept;

 private:
  http_restart_result restart_core(http_handler&& handler, duration limit) const;
  friend result<http_server, http_server_error> try_run_server_core(http_handler&& handler,
                                                                    const http_server_options& options);
  explicit http_server(internal::http_core* core) noexcept : core_(core) {}
  internal::http_core* core_ = nullptr;
};

result<http_server, http_server_error> try_run_server_core(http_handler&& handler, const http_server_options& options);

/// Serves what `handler` (a router, or any handler) answers.
/// Returns: the server, which accepts connections already, or why there is none.
/// Thread:  any.
template <answers_requests F>
result<http_server, http_server_error> try_run_server(F handler, const http_server_options& options = {}) {
  return try_run_server_core(http_handler(std::move(handler)), options);
}

/// The same.   Fails: http_server_error.
template <answers_requests F>
http_server run_server(F handler, const http_server_options& options = {}) {
  return try_run_server(std::move(handler), options).value();
}

/// The port a program was told: its first argument, else the environment's PORT, else `otherwise`.
/// Fails: http_server_error when it is no number between 0 and 65535.
int port_from(int argc, const char* const* argv, int otherwise = 8888);

}  // namespace coppice
