// SPDX-License-Identifier: Apache-2.0
#include <coppice/runtime/service_manager.hpp>

#include <doctest/doctest.h>

#include "support/notify_socket.hpp"

#include <cstdlib>
#include <string>

#include <fcntl.h>
#include <unistd.h>

using namespace coppice;
using coppice::testing::notify_socket;

TEST_CASE("EX-124 the service manager hears what it is told, at a path and at an abstract address") {
  const std::string name = "/tmp/coppice_notify_" + std::to_string(getpid());
  for (const std::string& address : {name, "@" + name}) {
    notify_socket manager(address);
    CHECK(notify_service_manager("READY=1"));
    CHECK(notify_service_manager("STATUS=one\nWATCHDOG=1"));
    CHECK(manager.next() == "READY=1");
    CHECK(manager.next() == "STATUS=one\nWATCHDOG=1");
  }
}

TEST_CASE("EX-124 without a service manager, or with one that is gone, nothing happens") {
  CHECK_FALSE(notify_service_manager("READY=1"));
  for (const char* address : {"", "@", "x", "/nowhere/at/all", "vsock:1:2"}) {
    ::setenv("NOTIFY_SOCKET", address, 1);
    CHECK_FALSE(notify_service_manager("READY=1"));
  }
  ::setenv("NOTIFY_SOCKET", ("/" + std::string(200, 'x')).c_str(), 1);
  CHECK_FALSE(notify_service_manager("READY=1"));
  ::unsetenv("NOTIFY_SOCKET");
}

TEST_CASE("EX-124 the watchdog's time is this program's, or nobody's") {
  CHECK(service_watchdog() == infinity);
  ::setenv("WATCHDOG_USEC", "2000000", 1);
  CHECK(service_watchdog() == 2s);
  ::setenv("WATCHDOG_PID", std::to_string(getpid()).c_str(), 1);
  CHECK(service_watchdog() == 2s);
  ::setenv("WATCHDOG_PID", "1", 1);
  CHECK(service_watchdog() == infinity);
  ::unsetenv("WATCHDOG_PID");
  for (const char* bad : {"", "0", "-5", "5x", "99999999999999999999"}) {
    ::setenv("WATCHDOG_USEC", bad, 1);
    CHECK(service_watchdog() == infinity);
  }
  ::unsetenv("WATCHDOG_USEC");
}

TEST_CASE("sockets of the service manager are taken once, with their names, by the program that they are for") {
  const int saved[] = {::dup(3), ::dup(4)};
  REQUIRE(::dup2(1, 3) == 3);
  REQUIRE(::dup2(1, 4) == 4);
  const std::string mine = std::to_string(getpid());
  CHECK(inherited_sockets().empty());
  ::setenv("LISTEN_FDS", "2", 1);
  CHECK(inherited_sockets().empty());  // for whom?
  ::setenv("LISTEN_PID", "1", 1);
  CHECK(inherited_sockets().empty());  // for another one
  ::setenv("LISTEN_PID", mine.c_str(), 1);
  for (const char* bad : {"", "0", "-1", "x"}) {
    ::setenv("LISTEN_FDS", bad, 1);
    CHECK(inherited_sockets().empty());
  }
  ::setenv("LISTEN_FDS", "2", 1);
  ::setenv("LISTEN_FDNAMES", "http", 1);
  const auto all = inherited_sockets();
  REQUIRE(all.size() == 2);
  CHECK(all[0].fd == 3);
  CHECK(all[0].name == "http");
  CHECK(all[1].fd == 4);
  CHECK(all[1].name.empty());
  CHECK((::fcntl(3, F_GETFD) & FD_CLOEXEC) != 0);
  CHECK(inherited_sockets().empty());
  CHECK(std::getenv("LISTEN_FDS") == nullptr);
  for (int i = 0; i < 2; ++i) {
    if (saved[i] >= 0) ::dup2(saved[i], 3 + i), ::close(saved[i]);
    else ::close(3 + i);
  }
}
