// SPDX-License-Identifier: Apache-2.0
//
// http_exchange: one request and its answer, shared by the connection, which parses and writes, and the request's own process,
// which runs the handler. Whichever of the two lives longer keeps the exchange, and with it the bytes that the request's
// views point to.
//
// A handler that reads the body in pieces gets the socket with the request; one that answers with a stream asks for it then
// (http_loan.hpp).
//
// Until the request's process has started, and again once the state is `done`, everything belongs to the connection; in between
// `parser` is read by the request's process, and `response` and `answered` are its own. `kept` is written by the connection as
// it leaves. The state says who destroys it: the one who leaves last.
#pragma once

#include "app/http_core.hpp"
#include "app/http_loan.hpp"
#include "app/http_parser.hpp"
#include "app/http_writer.hpp"
#include "app/read_buffer.hpp"

#include <optional>

namespace coppice::internal {

struct http_exchange {
  /// running -> asks by a handler that has answered with a stream; asks -> lent by the connection, which has set `loan` and leaves with that;
  /// running | asks -> left by a connection that leaves before; any -> done by the request's process, which leaves with that.
  /// Who finds that the other has left destroys it.
  enum state_of : std::uint32_t { running, asks, lent, left, done };

  http_exchange(http_core& c, detail::slot& w);
  ~http_exchange();
  http_exchange(const http_exchange&) = delete;
  /// Whether the restart or the stop that replaces its service waits for it no longer. A WebSocket that goes on is on its way to the handler
  /// that is there now: it has only to pass through this one.
  bool is_out_of_time() const noexcept {
    return core.all_over.load(sync::seq_cst) != 0 || (service.is_over.load(sync::seq_cst) != 0 && !(goes_on && core.is_running()));
  }
  static void* operator new(std::size_t bytes);
  static void operator delete(void* block) noexcept;
  /// The connection leaves; it has not lent its socket.
  void leave() noexcept;
  /// The request's process leaves.   Returns: what the connection has lent it, if it has.
  http_loan* finish() noexcept;

  http_core& core;
  http_service& service;  // of the moment when the request began
  detail::slot& waiter;  // the connection, in its wait `number`
  std::uint64_t number = 0;
  sync::atomic<std::uint32_t> state;
  std::int64_t since = 0;  // when its handler's time began
  std::int64_t over = 0;   // when it was done
  bool answered = false;   // `response` is the handler's
  bool is_secure = false;
  bool goes_on = false;     // with a WebSocket whose handshake is over
  bool holds_core = false;  // the connection, which does, has left
  http_parser parser;
  http_peer peer{};
  std::optional<http_response> response;
  read_buffer* kept = nullptr;     // when the connection has left the request alone
  detail::slot* asking = nullptr;  // the request's process, in its wait `asking_number`
  std::uint64_t asking_number = 0;
  http_loan* loan = nullptr;  // held for the request's process, which takes it
};

/// How an answer to the request of `x` is sent.
answer_form form_for(const http_exchange& x, const http_response& r);

/// The connection's part of an exchange. If it leaves before the request's process has ended, it ends that, and `buffer`, where
/// the request's bytes are, stays with the exchange.
class own_exchange {
 public:
  own_exchange(http_core& core, detail::slot& self, read_buffer*& buffer)
      : buffer_(buffer), x_(new http_exchange(core, self)) {}
  ~own_exchange();
  own_exchange(const own_exchange&) = delete;
  http_exchange* operator->() const noexcept { return x_; }
  http_exchange& operator*() const noexcept { return *x_; }

  /// Starts the request's process, with `loan` if there is one. False: none starts any more.
  bool start(http_loan* loan = nullptr);
  /// Waits until it has ended, asks for the socket, or is cut off. False: `timeout` ns have passed.   Throws: detail::unwind.
  bool wait(std::int64_t timeout);
  /// Its service has come to its end, and it has not.
  bool is_cut_off() const noexcept;
  pid process() const noexcept { return process_; }
  /// The exchange, which the caller has to leave; the process goes on.
  http_exchange* release() noexcept { return std::exchange(x_, nullptr); }

 private:
  read_buffer*& buffer_;
  http_exchange* x_;
  pid process_{};
};

}  // namespace coppice::internal
