// SPDX-License-Identifier: Apache-2.0
//
// tls_end: a client's end of TLS on a blocking socket that belongs to somebody else. One thread may read while another one writes: OpenSSL,
// which allows that to nobody, works between two pieces of memory, under a lock; the socket is read and written outside of it.
#pragma once

#include <cstddef>
#include <mutex>
#include <string>
#include <string_view>

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
  /// Whether the server did. The reader's.
  bool heard_goodbye() const noexcept { return heard_goodbye_; }
  /// Of TLS 1.2: asks for another handshake. Of TLS 1.3: has new keys for what is sent.   Returns: whether it was sent.
  bool renegotiate();
  bool update_keys();
  /// What the certificate that was shown is for.
  std::string shown_name() const;
  std::string protocol() const;
  std::string version() const;

 private:
  void shake_hands();
  ssize_t decrypt(char* into, std::size_t size);
  ssize_t receive();
  /// Lets `step` produce something, and sends it.   Returns: what `step` has returned; below 1 if it could not be sent.
  template <class F>
  int send_what(F&& step);
  std::string produced();

  const int fd_;
  ssl_st* ssl_ = nullptr;
  mutable std::mutex lock_;  // of ssl_
  std::mutex writing_;       // taken before that: what OpenSSL produces is sent in its order
  bool ended_ = false;       // the socket has; the reader's
  bool heard_goodbye_ = false;
};

}  // namespace coppice::testing
