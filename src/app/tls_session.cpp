// SPDX-License-Identifier: Apache-2.0
#include "app/tls_session.hpp"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <cerrno>
#include <new>
#include <utility>

#include <sys/socket.h>

namespace coppice::internal {

namespace {
constexpr std::uint8_t reads_a_turn = 16;  // of up to 16 KiB
}

/// The socket as OpenSSL sees it.
struct tls_wire_calls {
  using wire = tls_session::wire;
  static wire& of(BIO* b) { return *static_cast<wire*>(BIO_get_data(b)); }

  static int read(BIO* b, char* into, int size) {
    wire& w = of(b);
    BIO_clear_retry_flags(b);
    if (w.turns == 0) {
      w.spent = true;
      BIO_set_retry_read(b);
      return -1;
    }
    --w.turns;
    ssize_t n = 0;
    do n = ::recv(w.fd, into, static_cast<std::size_t>(size), 0);
    while (n < 0 && errno == EINTR);
    w.emptied = n < size;
    if (n > 0 && w.first == 0) w.first = static_cast<unsigned char>(into[0]);
    if (n == 0) w.ended = true;
    if (n < 0) note_failure(b, w, true);
    return static_cast<int>(n);
  }

  static int write(BIO* b, const char* bytes, int size) {
    wire& w = of(b);
    BIO_clear_retry_flags(b);
    ssize_t n = 0;
    do n = ::send(w.fd, bytes, static_cast<std::size_t>(size), MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n < 0) note_failure(b, w, false);
    return static_cast<int>(n);
  }

  static void note_failure(BIO* b, wire& w, bool reading) {
    if (errno != EAGAIN)
      w.error = errno;
    else if (reading)
      BIO_set_retry_read(b);
    else
      BIO_set_retry_write(b);
  }

  static long control(BIO* b, int what, long, void*) {
    if (what == BIO_CTRL_FLUSH) return 1;
    return what == BIO_CTRL_EOF && of(b).ended ? 1 : 0;
  }

  static const BIO_METHOD* method() {
    static const BIO_METHOD* const made = [] {
      BIO_METHOD* m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "coppice socket");
      if (m == nullptr) throw std::bad_alloc();
      BIO_meth_set_read(m, &read);
      BIO_meth_set_write(m, &write);
      BIO_meth_set_ctrl(m, &control);
      return m;
    }();
    return made;
  }
};

tls_session::tls_session(std::shared_ptr<const tls_context> context, int fd)
    : context_(std::move(context)), ssl_(SSL_new(context_->first())), wire_{.fd = fd} {
  BIO* b = BIO_new(tls_wire_calls::method());
  if (ssl_ == nullptr || b == nullptr) {
    BIO_free(b);
    SSL_free(ssl_);
    throw std::bad_alloc();
  }
  BIO_set_data(b, &wire_);
  BIO_set_init(b, 1);
  SSL_set_bio(ssl_, b, b);
  SSL_set_accept_state(ssl_);
}

tls_session::~tls_session() { SSL_free(ssl_); }

void tls_session::begin() noexcept {
  ERR_clear_error();
  wire_.turns = reads_a_turn;
  wire_.spent = false;
}

tls_step tls_session::judge(int outcome, std::size_t bytes) noexcept {
  if (outcome > 0) return {.what = tls_step::done, .bytes = bytes};
  switch (SSL_get_error(ssl_, outcome)) {
    case SSL_ERROR_WANT_READ:
      return {.what = wire_.spent ? tls_step::wants_turn : tls_step::wants_read};
    case SSL_ERROR_WANT_WRITE:
      return {.what = tls_step::wants_write};
    case SSL_ERROR_ZERO_RETURN:
      return {.what = tls_step::ended};
    default:
      ERR_clear_error();
      is_open_ = false;
      return {.what = tls_step::broken, .error = wire_.error != 0 ? wire_.error : wire_.ended ? ECONNRESET : EPROTO};
  }
}

tls_step tls_session::shake_hands() noexcept {
  begin();
  const tls_step went = judge(SSL_do_handshake(ssl_), 0);
  is_open_ = went.what == tls_step::done;
  return went;
}

tls_step tls_session::read(std::span<char> into) noexcept {
  begin();
  std::size_t got = 0;
  const int outcome = SSL_read_ex(ssl_, into.data(), into.size(), &got);
  const tls_step went = judge(outcome, got);
  is_dry_ = went.what == tls_step::wants_read;
  return went;
}

tls_step tls_session::write(std::string_view bytes) noexcept {
  begin();
  std::size_t put = 0;
  const int outcome = SSL_write_ex(ssl_, bytes.data(), bytes.size(), &put);
  const tls_step went = judge(outcome, put);
  write_pending_ = went.what == tls_step::wants_write;
  return went;
}

void tls_session::say_goodbye() noexcept {
  if (!is_open_ || write_pending_) return;
  is_open_ = false;
  begin();
  SSL_shutdown(ssl_);
  ERR_clear_error();
}

bool tls_session::may_have_more() const noexcept { return !is_dry_ && (SSL_has_pending(ssl_) == 1 || !wire_.emptied); }

}  // namespace coppice::internal
