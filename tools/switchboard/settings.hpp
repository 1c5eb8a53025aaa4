// SPDX-License-Identifier: Apache-2.0
//
// settings: what the switchboard may be told, in one value that its processes are started with.
#pragma once

#include <coppice/base/time.hpp>

#include <cstdint>
#include <string>

namespace switchboard {

inline constexpr coppice::duration drain_time = std::chrono::seconds(25);  // within the half minute that orchestrators give

struct settings {
  int port = 8888;
  int channels = 8;
  std::string address = "127.0.0.1";
  std::string host{};       // its name in the world, besides localhost
  std::string take_over{};  // a path
  std::string tls_certificate{};  // paths; empty: plain HTTP
  std::string tls_key{};
  int listen_fd = -1;       // from the service manager
  bool allow_crash = false;
  bool allow_restart = false;
  unsigned sessions = 10'000;
  coppice::duration session_idle = std::chrono::hours(1);
  std::int64_t session_credit = 1000;  // how much a session may owe
  std::int64_t price = 1;              // of an allocation, in credit

  friend bool operator==(const settings&, const settings&) = default;
};

/// Of POST /crash: an exception in a handler.
struct break_down {};

}  // namespace switchboard
