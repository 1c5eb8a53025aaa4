// SPDX-License-Identifier: Apache-2.0
#include "support/http/tls_end.hpp"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <cerrno>
#include <stdexcept>

#include <sys/socket.h>
#include <unistd.h>

namespace coppice::testing {

namespace {

std::string reason() {
  const char* text = ERR_reason_error_string(ERR_peek_last_error());
  return text != nullptr ? text : "the connection has ended";
}

SSL* new_session(const tls_wish& w) {
  SSL_CTX* context = SSL_CTX_new(TLS_client_method());
  SSL_CTX_set_options(context, SSL_OP_IGNORE_UNEXPECTED_EOF);
  if (!w.authority_file.empty()) {
    SSL_CTX_load_verify_locations(context, w.authority_file.c_str(), nullptr);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
  }
  if (w.newest != 0) {
    SSL_CTX_set_min_proto_version(context, 0);
    SSL_CTX_set_max_proto_version(context, w.newest);
    SSL_CTX_set_security_level(context, 0);
  }
  SSL* made = SSL_new(context);
  SSL_CTX_free(context);
  if (!w.name.empty()) {
    SSL_set_tlsext_host_name(made, w.name.c_str());
    SSL_set1_host(made, w.name.c_str());
  }
  if (!w.protocols.empty())
    SSL_set_alpn_protos(made, reinterpret_cast<const unsigned char*>(w.protocols.data()), static_cast<unsigned>(w.protocols.size()));
  SSL_set_bio(made, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
  BIO_set_mem_eof_return(SSL_get_rbio(made), -1);  // empty is not the end
  return made;
}

bool send_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = TEMP_FAILURE_RETRY(::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL));
    if (n <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  return true;
}

}  // namespace

tls_end::tls_end(int fd, const tls_wish& w) : fd_(fd) {
  ERR_clear_error();
  ssl_ = new_session(w);
  try {
    shake_hands();
  } catch (...) {
    SSL_free(ssl_);
    throw;
  }
}

tls_end::~tls_end() { SSL_free(ssl_); }

void tls_end::shake_hands() {
  for (;;) {
    int done = 0;
    int why = 0;
    const int sent = send_what([&] {
      done = SSL_connect(ssl_);
      why = SSL_get_error(ssl_, done);
      return 1;
    });
    if (done == 1) return;
    if (why != SSL_ERROR_WANT_READ || sent < 1 || receive() <= 0) throw std::runtime_error(reason());
  }
}

std::string tls_end::produced() {
  std::string out(BIO_ctrl_pending(SSL_get_wbio(ssl_)), '\0');
  if (!out.empty()) BIO_read(SSL_get_wbio(ssl_), out.data(), static_cast<int>(out.size()));
  return out;
}

template <class F>
int tls_end::send_what(F&& step) {
  const std::lock_guard in_order(writing_);
  std::string out;
  int done = 0;
  {
    const std::lock_guard held(lock_);
    ERR_clear_error();
    done = step();
    out = produced();
  }
  return send_all(fd_, out) ? done : -1;
}

/// What the socket has, given to OpenSSL.   Returns: as recv.
ssize_t tls_end::receive() {
  char got[16384];
  const ssize_t n = TEMP_FAILURE_RETRY(::recv(fd_, got, sizeof got, 0));
  if (n < 0) return n;
  const std::lock_guard held(lock_);
  if (n > 0) BIO_write(SSL_get_rbio(ssl_), got, static_cast<int>(n));
  ended_ = n == 0;
  if (ended_) BIO_set_mem_eof_return(SSL_get_rbio(ssl_), 0);
  return n;
}

/// Returns: as recv; EAGAIN: there is not enough yet.
ssize_t tls_end::decrypt(char* into, std::size_t size) {
  const std::lock_guard held(lock_);
  ERR_clear_error();
  const int n = SSL_read(ssl_, into, static_cast<int>(size));
  if (n > 0) return n;
  const int why = SSL_get_error(ssl_, n);
  if (why == SSL_ERROR_ZERO_RETURN) return heard_goodbye_ = !ended_, 0;
  errno = why == SSL_ERROR_WANT_READ ? EAGAIN : EPROTO;
  return -1;
}

ssize_t tls_end::read(char* into, std::size_t size) {
  for (;;) {
    const ssize_t n = decrypt(into, size);
    if (n >= 0 || errno != EAGAIN) return n;
    if (ended_) return 0;
    if (receive() < 0) return -1;
  }
}

ssize_t tls_end::write(const char* bytes, std::size_t size) {
  const int n = send_what([&] { return SSL_write(ssl_, bytes, static_cast<int>(size)); });
  return n > 0 ? n : -1;
}

void tls_end::say_goodbye() {
  send_what([&] { return SSL_shutdown(ssl_); });
}

bool tls_end::renegotiate() {
  return send_what([&] {
           const int asked = SSL_renegotiate(ssl_);
           if (asked == 1) SSL_do_handshake(ssl_);
           return asked;
         }) == 1;
}

bool tls_end::update_keys() {
  return send_what([&] { return SSL_key_update(ssl_, SSL_KEY_UPDATE_NOT_REQUESTED) == 1 ? SSL_do_handshake(ssl_) : 0; }) == 1;
}

std::string tls_end::shown_name() const {
  const std::lock_guard held(lock_);
  X509* shown = SSL_get1_peer_certificate(ssl_);
  char name[256] = {};
  X509_NAME_get_text_by_NID(X509_get_subject_name(shown), NID_commonName, name, sizeof name);
  X509_free(shown);
  return name;
}

std::string tls_end::protocol() const {
  const std::lock_guard held(lock_);
  const unsigned char* name = nullptr;
  unsigned size = 0;
  SSL_get0_alpn_selected(ssl_, &name, &size);
  return {reinterpret_cast<const char*>(name), size};
}

std::string tls_end::version() const {
  const std::lock_guard held(lock_);
  return SSL_get_version(ssl_);
}

}  // namespace coppice::testing
