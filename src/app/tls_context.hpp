// SPDX-License-Identifier: Apache-2.0
//
// tls_context: the certificates and keys that a server shows, as OpenSSL holds them, and the rules of its TLS. Never changed: a restart
// makes another one, from what the files say then, and each connection holds the one that it began with.
//
// Thread: any.
#pragma once

#include <coppice/app/http_server.hpp>

#include <memory>
#include <string_view>
#include <vector>

struct ssl_ctx_st;

namespace coppice::internal {

class tls_context {
 public:
  /// Reads the files.   Throws: http_server_error, bad_certificate.
  explicit tls_context(const std::vector<tls_certificate>& files);
  ~tls_context();
  tls_context(const tls_context&) = delete;

  /// Of the certificate for clients that ask for no name, or for an unknown one.
  ssl_ctx_st* first() const noexcept { return certificates_.front().get(); }
  /// Of the first certificate that is for the host `name`; null if none is.
  ssl_ctx_st* of(std::string_view name) const noexcept;

 private:
  struct free_context {
    void operator()(ssl_ctx_st* c) const noexcept;
  };
  using owned_context = std::unique_ptr<ssl_ctx_st, free_context>;
  static owned_context load(const tls_certificate& files);
  std::vector<owned_context> certificates_;
};

}  // namespace coppice::internal
