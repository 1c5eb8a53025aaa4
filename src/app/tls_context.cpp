// SPDX-License-Identifier: Apache-2.0
#include "app/tls_context.hpp"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <cerrno>
#include <new>
#include <string>
#include <system_error>

#include <unistd.h>

namespace coppice::internal {

namespace {

http_server_error bad(const std::string& what) { return {http_server_error::bad_certificate, what}; }

/// What OpenSSL says: its first error is the reason of those that follow.
std::string reason() {
  const char* text = ERR_reason_error_string(ERR_peek_error());
  return text != nullptr ? text : "no reason was given";
}

void require_readable(std::string_view what, const std::string& file) {
  if (::access(file.c_str(), R_OK) == 0) return;
  throw bad("the " + std::string(what) + " \"" + file + "\" cannot be read: " + std::system_category().message(errno));
}

std::string text_of(const ASN1_TIME* when) {
  BIO* to = BIO_new(BIO_s_mem());
  ASN1_TIME_print(to, when);
  char* text = nullptr;
  const long size = BIO_get_mem_data(to, &text);
  std::string said(text, size > 0 ? static_cast<std::size_t>(size) : 0);
  BIO_free(to);
  return said;
}

void use_certificate(SSL_CTX* c, const std::string& file) {
  require_readable("certificate", file);
  ERR_clear_error();
  if (SSL_CTX_use_certificate_chain_file(c, file.c_str()) != 1) {
    const bool no_pem = ERR_GET_REASON(ERR_peek_error()) == PEM_R_NO_START_LINE;
    throw bad("\"" + file + "\" " + (no_pem ? "holds no certificate in PEM" : "is not usable as a certificate: " + reason()));
  }
  const X509* shown = SSL_CTX_get0_certificate(c);
  if (X509_cmp_current_time(X509_get0_notAfter(shown)) < 0)
    throw bad("the certificate \"" + file + "\" has expired on " + text_of(X509_get0_notAfter(shown)));
  if (X509_cmp_current_time(X509_get0_notBefore(shown)) > 0)
    throw bad("the certificate \"" + file + "\" is not valid before " + text_of(X509_get0_notBefore(shown)));
}

/// Notes that a password was asked for, and gives none.
int refuse_password(char*, int, int, void* asked) {
  *static_cast<bool*>(asked) = true;
  return -1;
}

void use_key(SSL_CTX* c, const tls_certificate& files) {
  require_readable("key", files.key_file);
  bool is_locked = false;
  SSL_CTX_set_default_passwd_cb(c, &refuse_password);
  SSL_CTX_set_default_passwd_cb_userdata(c, &is_locked);
  ERR_clear_error();
  const bool taken = SSL_CTX_use_PrivateKey_file(c, files.key_file.c_str(), SSL_FILETYPE_PEM) == 1 && SSL_CTX_check_private_key(c) == 1;
  SSL_CTX_set_default_passwd_cb_userdata(c, nullptr);
  if (taken) return;
  if (is_locked) throw bad("the key \"" + files.key_file + "\" is locked with a password: it has to be an open one");
  if (ERR_GET_LIB(ERR_peek_error()) == ERR_LIB_X509)
    throw bad("the key \"" + files.key_file + "\" does not belong to the certificate \"" + files.certificate_file + "\"");
  throw bad("\"" + files.key_file + "\" holds no private key in PEM: " + reason());
}

/// HTTP/1.1 is what is spoken here. A client that asks for other protocols only is told so.
int choose_protocol(SSL*, const unsigned char** out, unsigned char* size, const unsigned char* offered, unsigned int offered_size, void*) {
  static constexpr unsigned char ours[] = "\x08http/1.1";
  unsigned char* chosen = nullptr;
  if (SSL_select_next_proto(&chosen, size, ours, sizeof ours - 1, offered, offered_size) != OPENSSL_NPN_NEGOTIATED)
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

int choose_certificate(SSL* s, int*, void* of) {
  const char* name = SSL_get_servername(s, TLSEXT_NAMETYPE_host_name);
  if (name == nullptr) return SSL_TLSEXT_ERR_NOACK;
  if (SSL_CTX* c = static_cast<const tls_context*>(of)->of(name)) SSL_set_SSL_CTX(s, c);
  return SSL_TLSEXT_ERR_OK;
}

/// Memory is what an idle connection costs, so buffers go back whenever they are empty, and nothing is remembered for clients that come
/// back: they bring it along in a ticket.
void set_rules(SSL_CTX* c) {
  SSL_CTX_set_min_proto_version(c, TLS1_2_VERSION);
  SSL_CTX_set_cipher_list(c, "ECDHE+AESGCM:ECDHE+CHACHA20");  // of TLS 1.2; those of 1.3 are all good
  // What a client ends without a goodbye is no error: HTTP and WebSocket say themselves where a message ends.
  SSL_CTX_set_options(c, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_IGNORE_UNEXPECTED_EOF);
  SSL_CTX_set_mode(c, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_read_ahead(c, 1);  // one recv for all records that are there, instead of two for each
  SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(c, 1);
  SSL_CTX_set_alpn_select_cb(c, &choose_protocol, nullptr);
}

}  // namespace

void tls_context::free_context::operator()(ssl_ctx_st* c) const noexcept { SSL_CTX_free(c); }

tls_context::tls_context(const std::vector<tls_certificate>& files) {
  // Connections may end after main has: OpenSSL must not take itself down before.
  OPENSSL_init_ssl(OPENSSL_INIT_NO_ATEXIT, nullptr);
  for (const tls_certificate& f : files) certificates_.push_back(load(f));
  if (certificates_.size() < 2) return;
  SSL_CTX_set_tlsext_servername_callback(first(), &choose_certificate);
  SSL_CTX_set_tlsext_servername_arg(first(), this);
}

tls_context::~tls_context() = default;

tls_context::owned_context tls_context::load(const tls_certificate& files) {
  owned_context c(SSL_CTX_new(TLS_server_method()));
  if (c == nullptr) throw std::bad_alloc();
  set_rules(c.get());
  use_certificate(c.get(), files.certificate_file);
  use_key(c.get(), files);
  return c;
}

ssl_ctx_st* tls_context::of(std::string_view name) const noexcept {
  for (const owned_context& c : certificates_)
    if (X509_check_host(SSL_CTX_get0_certificate(c.get()), name.data(), name.size(), 0, nullptr) == 1) return c.get();
  return nullptr;
}

}  // namespace coppice::internal
