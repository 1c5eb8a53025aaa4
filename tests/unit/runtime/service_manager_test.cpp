// SPDX-License-Identifier: Apache-2.0
#include <coppice/runtime/service_manager.hpp>

#include <doctest/doctest.h>

#include "support/notify_socket.hpp"

#include <string>

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
