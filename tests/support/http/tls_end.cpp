// SPDX-License-Identifier: Apache-2.0
#include "support/http/tls_end.hpp"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <cerrno>
#include <csignal>
#include <stdexcept>

namespace coppice::testing {

namespace {

std::string reason() {
  const char* text = ERR_reason_error_string(ERR_peek_last_error());
  return text != nullptr ? text : "the connection has ended";
}

}  // namespace

tls_end::tls_end(int fd, const tls_wish& w) {
  std::signal(SIGPIPE, SIG_IGN);  // OpenSSL writes without MSG_NOSIGNAL
  ERR_clear_error();
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
  ssl_ = SSL_new(context);
  SSL_CTX_free(context);
  SSL_set_fd(ssl_, fd);
  if (!w.name.empty()) {
    SSL_set_tlsext_host_name(ssl_, w.name.c_str());
    SSL_set1_host(ssl_, w.name.c_str());
  }
  if (!w.protocols.empty())
    SSL_set_alpn_protos(ssl_, reinterpret_cast<const unsigned char*>(w.protocols.data()), static_cast<unsigned>(w.protocols.size()));
  if (SSL_connect(ssl_) == 1) return;
  SSL_free(ssl_);
  throw std::runtime_error(reason());
}

tls_end::~tls_end() { SSL_free(ssl_); }

ssize_t tls_end::read(char* into, std::size_t size) {
  ERR_clear_error();
  errno = 0;
  const int n = SSL_read(ssl_, into, static_cast<int>(size));
  if (n > 0) return n;
  const int why = SSL_get_error(ssl_, n);
  if (why == SSL_ERROR_ZERO_RETURN) return 0;
  if (why == SSL_ERROR_WANT_READ) errno = EAGAIN;
  if (errno == 0) errno = EPROTO;
  return -1;
}

ssize_t tls_end::write(const char* bytes, std::size_t size) {
  ERR_clear_error();
  const int n = SSL_write(ssl_, bytes, static_cast<int>(size));
  return n > 0 ? n : -1;
}

void tls_end::say_goodbye() { SSL_shutdown(ssl_); }

bool tls_end::heard_goodbye() const { return (SSL_get_shutdown(ssl_) & SSL_RECEIVED_SHUTDOWN) != 0 && ERR_peek_error() == 0; }

std::string tls_end::shown_name() const {
  X509* shown = SSL_get1_peer_certificate(ssl_);
  char name[256] = {};
  X509_NAME_get_text_by_NID(X509_get_subject_name(shown), NID_commonName, name, sizeof name);
  X509_free(shown);
  return name;
}

std::string tls_end::protocol() const {
  const unsigned char* name = nullptr;
  unsigned size = 0;
  SSL_get0_alpn_selected(ssl_, &name, &size);
  return {reinterpret_cast<const char*>(name), size};
}

std::string tls_end::version() const { return SSL_get_version(ssl_); }

}  // namespace coppice::testing
