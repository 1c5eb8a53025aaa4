// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <coppice/runtime/first_in_main.hpp>

#include <atomic>
#include <stdexcept>
#include <string>
#include <thread>

using namespace coppice;

namespace {

std::string done;
const first_hook one([](void* context, int argc, char**) { done += static_cast<const char*>(context) + std::to_string(argc); },
                     const_cast<char*>("one"));
const first_hook two([](void*, int, char** argv) { done += argv[0]; });

}  // namespace

TEST_CASE("hooks run once, in their order, and not where threads run already") {
  std::atomic<bool> over{false};
  std::thread other([&] { over.wait(false); });
  CHECK_THROWS_AS(first_in_main(0, nullptr), std::logic_error);
  CHECK(done.empty());
  over = true;
  over.notify_one();
  other.join();
  while (true) {                                           // the kernel lists a thread for a moment after its end
    try {
      char name[] = "two";
      char* argv[] = {name, nullptr};
      first_in_main(1, argv);
      break;
    } catch (const std::logic_error&) {
      std::this_thread::yield();
    }
  }
  CHECK(done == "one1two");
  first_in_main(1, nullptr);
  CHECK(done == "one1two");
}
