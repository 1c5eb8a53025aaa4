// SPDX-License-Identifier: Apache-2.0
//
// tls_session: our end of one TLS connection, on a non-blocking socket. Nothing here waits: what cannot go on says what it wants, so
// that a connection waits without a stack, and no other fiber runs between a call of OpenSSL and the question how it went
// (its queue of errors is one for each thread). Nobody else calls OpenSSL about a connection.
//
// Between two records it holds no buffer of OpenSSL's.
//
// Thread: one at a time.
#pragma once

#include "app/tls_context.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

struct ssl_st;

namespace coppice::internal {

/// How a step went.
struct tls_step {
  enum kind : std::uint8_t {
    done,
    wants_read,   // when the socket can be read
    wants_write,  // when it can be written: the same again
    wants_turn,   // now, but others first: the client sends without end what is no data
    ended,        // the client will send no more
    broken        // `error` says why, as an errno value
  } what = done;
  std::size_t bytes = 0;
  int error = 0;
};

class tls_session {
 public:
  /// Does not own `fd`.   Throws: std::bad_alloc.
  tls_session(std::shared_ptr<const tls_context> context, int fd);
  ~tls_session();
  tls_session(const tls_session&) = delete;

  /// Goes on with the handshake, which is to be done before anything is read or written.
  tls_step shake_hands() noexcept;
  /// The client began with a letter: it does not speak TLS, but perhaps HTTP.
  bool met_text() const noexcept { return wire_.first >= 'A' && wire_.first <= 'Z'; }

  tls_step read(std::span<char> into) noexcept;
  /// At most a record of `bytes`. After `wants_write`, `bytes` have to begin with the same ones.
  tls_step write(std::string_view bytes) noexcept;
  /// Says that no more will be written, if that is still possible.
  void say_goodbye() noexcept;
  /// No goodbye will be said.
  void keep_silent() noexcept { is_open_ = false; }
  /// Whether reading may bring more without anything new on the socket.
  bool may_have_more() const noexcept;

 private:
  friend struct tls_wire_calls;
  /// What OpenSSL stands on.
  struct wire {
    int fd;
    int error = 0;
    std::uint8_t turns = 0;    // reads before others get their turn
    unsigned char first = 0;   // byte of the client's
    bool emptied = false;      // the last read found less than it wanted
    bool ended = false;
    bool spent = false;        // its turns
  };
  void begin() noexcept;
  tls_step judge(int outcome, std::size_t bytes) noexcept;

  const std::shared_ptr<const tls_context> context_;
  ssl_st* ssl_;
  wire wire_;
  bool is_open_ = false;        // the handshake is done, and nothing went wrong since
  bool is_dry_ = false;         // the last read found nothing
  bool write_pending_ = false;  // a record has gone in part
};

}  // namespace coppice::internal
