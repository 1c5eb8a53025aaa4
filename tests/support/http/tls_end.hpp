// SPDX-License-Identifier: Apache-2.0
//
// tls_end: a client's end of TLS on a blocking socket that belongs to somebody else.
#pragma once

#include <cstddef>
#include <string>

#include <sys/types.h>

struct ssl_st;

namespace coppice::testing {

struct tls_wish {
  std::string name{};            ///< of the host; empty: none is asked for
  std::string authority_file{};  ///< empty: any certificate will do
  std::string protocols{};       ///< as ALPN has them, each with its length in front
  int newest = 0;                ///< version; 0: any
};

class tls_end {
 public:
  /// Shakes hands.   Throws: std::runtime_error.
  tls_end(int fd, const tls_wish& w);
  ~tls_end();
  tls_end(const tls_end&) = delete;

  /// As recv and send. A connection that ends without a goodbye ends all the same.
  ssize_t read(char* into, std::size_t size);
  ssize_t write(const char* bytes, std::size_t size);
  void say_goodbye();
  /// Whether the server did.
  bool heard_goodbye() const;
  /// What the certificate that was shown is for.
  std::string shown_name() const;
  std::string protocol() const;
  std::string version() const;
  ssl_st* raw() const { return ssl_; }

 private:
  ssl_st* ssl_;
};

}  // namespace coppice::testing
