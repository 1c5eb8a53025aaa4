// SPDX-License-Identifier: Apache-2.0
#include <coppice/base/time.hpp>

#include <coppice/base/detail/sync.hpp>

#include <doctest/doctest.h>

namespace sync = coppice::detail::sync;

TEST_CASE("time: the literals come with the namespace and convert to a duration") {
  using namespace coppice;
  static_assert(duration(5s).count() == 5'000'000'000);
  static_assert(duration(100ms) + 1us + 1ns == duration(100'001'001));
  static_assert(duration(2min) < infinity);
  static_assert(infinity == infinity);
}

TEST_CASE("time: a deadline lies between two clock reads plus the wait") {
  using namespace coppice;
  const std::int64_t before = sync::now();
  const std::int64_t deadline = deadline_after(1h);
  const std::int64_t after = sync::now();
  CHECK(deadline >= before + duration(1h).count());
  CHECK(deadline <= after + duration(1h).count());
}

TEST_CASE("time: an infinite or overflowing wait never ends") {
  using namespace coppice;
  CHECK(deadline_after(infinity) == sync::never);
  CHECK(deadline_after(infinity - 1ns) == sync::never);
  CHECK(time_until(sync::never) == infinity);
}

TEST_CASE("time: a wait that is not positive ends now") {
  using namespace coppice;
  const std::int64_t before = sync::now();
  for (duration wait : {duration::zero(), duration(-5s), duration::min()}) {
    const std::int64_t deadline = deadline_after(wait);
    CHECK(deadline >= before);
    CHECK(deadline <= sync::now());
  }
}

TEST_CASE("time: what is left of a deadline shrinks to zero and not below") {
  using namespace coppice;
  const duration left = time_until(deadline_after(1h));
  CHECK(left <= duration(1h));
  CHECK(left > duration(30min));
  CHECK(time_until(sync::now() - 1) == duration::zero());
  CHECK(time_until(0) == duration::zero());
}
