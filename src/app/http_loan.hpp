// SPDX-License-Identifier: Apache-2.0
//
// http_loan: a connection's socket while the process of one of its requests uses it: to read a body in pieces, to write one, to
// speak WebSocket. The connection has no fiber meanwhile and is told by `io_ready` when the loan is over. Counted: held by the
// connection and by the borrower; whichever of the two lives longer closes the socket.
//
// Who may touch what: until `over` is 1, socket and buffer belong to the borrower, but the connection may ask the socket whether
// it is gone and set its deadline; from then on, all is the connection's.
#pragma once

#include "app/http_core.hpp"
#include "app/read_buffer.hpp"
#include "app/transport.hpp"

#include <cstdint>

namespace coppice::internal {

struct http_loan {
  /// What for: in this order, each step optional, written by the borrower.
  enum use_of : std::uint32_t { handling, streaming, events, websocket };
  /// How it went, written by the borrower before `over`.
  enum outcome_of : std::uint8_t {
    cut,        // in the middle
    gone,       // the client took no more
    last,       // all is sent; the connection ends
    kept,       // all is sent; the next request may come
    passed_on,  // a WebSocket, to the next handler: `handover` is set, and the buffer begins with the head
    unwritten   // nothing was written: the exchange holds the response
  };

  http_loan(http_core& c, http_service& s, pid l) noexcept : core(c), service(s), lender(l) {
    core.hold();
    service.holders.fetch_add(1, sync::relaxed);
  }
  ~http_loan() {
    drop_buffer(buffer);
    sock.close();
    core.give_service(service);
    core.drop();
  }
  http_loan(const http_loan&) = delete;
  void hold() noexcept { holders.fetch_add(1, sync::relaxed); }
  void drop() noexcept {
    if (holders.fetch_sub(1, sync::acq_rel) == 1) delete this;
  }
  bool is_over() const noexcept { return over.load(sync::seq_cst) != 0; }
  use_of used_for() const noexcept { return static_cast<use_of>(use.load(sync::relaxed)); }
  /// Whether the restart that has replaced its service, or the stop of the server, waits for it no longer.
  bool is_cut_off() const noexcept {
    if (core.all_over.load(sync::seq_cst) != 0) return true;
    return service.is_over.load(sync::seq_cst) != 0 && !(passes_until != 0 && core.is_running() && sync::now() < passes_until);
  }
  bool is_websocket() const noexcept { return goes_on || used_for() == websocket; }
  /// Whether requests that begin now are answered by somebody else, who can have the socket, too. What TLS has agreed upon stays in its
  /// OS process.
  bool has_successor() const noexcept {
    return core.is_running() && (!core.is_current(service) || (core.is_moving() && !sock.is_secure()));
  }

  http_core& core;
  http_service& service;  // of the request
  transport sock;
  read_buffer* buffer = nullptr;  // what has arrived and is not dealt with
  const pid lender;
  pid borrower{};
  std::unique_ptr<ws_handover> handover;  // of a WebSocket that had another handler before, or is to have one
  bool goes_on = false;  // had another handler before: a WebSocket from the beginning
  std::int64_t passes_until = 0;  // ... and its service was over when it began: so long it has time to get through
  outcome_of outcome = cut;
  bool can_end_chunks = false;  // cut between two chunks
  bool until_close = false;     // only a reset tells that the body is not complete
  sync::atomic<std::uint32_t> use;
  sync::atomic<std::uint32_t> may_move;  // 1: a WebSocket that may be handed over
  sync::atomic<std::uint32_t> over;
  sync::atomic<std::int64_t> progress;  // when the handler last got a piece of the body; sync::never: it waits for one
  sync::atomic<std::uint32_t> holders{1};
};

}  // namespace coppice::internal
