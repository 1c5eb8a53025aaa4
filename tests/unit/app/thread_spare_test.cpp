// SPDX-License-Identifier: Apache-2.0
//
// What a thread keeps for the next request: one block of a kind, one text, and nothing beyond its end.
#include "app/thread_spare.hpp"

#include <doctest/doctest.h>

#include <new>
#include <string>
#include <thread>

using namespace coppice::internal;

TEST_CASE("a thread keeps one block of a kind, and gives it back once") {
  std::thread([] {
    CHECK(take_spare(spare_kind::exchange) == nullptr);
    void* first = ::operator new(100);
    void* second = ::operator new(100);
    CHECK(keep_spare(spare_kind::exchange, first));
    CHECK_FALSE(keep_spare(spare_kind::exchange, second));
    CHECK(take_spare(spare_kind::read_buffer) == nullptr);
    CHECK(keep_spare(spare_kind::read_buffer, second));
    std::thread([] { CHECK(take_spare(spare_kind::exchange) == nullptr); }).join();  // another one's own
    CHECK(take_spare(spare_kind::exchange) == first);
    CHECK(take_spare(spare_kind::exchange) == nullptr);
    ::operator delete(first);
  }).join();                                       // the second one goes with the thread: a leak would be found
}

TEST_CASE("a text begins empty, with the room of the last one, unless that was large") {
  std::thread([] {
    std::size_t room = 0;
    {
      const reused_text t;
      CHECK((*t).empty());
      (*t).append(1000, 'x');
      room = (*t).capacity();
    }
    {
      const reused_text t;
      CHECK((*t).empty());
      CHECK((*t).capacity() == room);
      const reused_text beside;                    // there is one
      CHECK((*beside).capacity() < room);
    }
    (*reused_text()).append(100'000, 'x');
    CHECK((*reused_text()).capacity() < 100'000);
  }).join();
}
