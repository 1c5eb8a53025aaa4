// SPDX-License-Identifier: Apache-2.0
//
// assert, the out-of-line part: the handler and the default way to fail.
#include <coppice/base/assert.hpp>

#include <coppice/base/detail/sync.hpp>
#include <cstdio>
#include <cstdlib>

namespace coppice {

namespace sync = detail::sync;

namespace {
// Release and acquire pair set_assert_handler with assertion_failed: whatever the handler relies on is there.
constinit sync::atomic<assert_handler> installed_handler;
}  // namespace

assert_handler set_assert_handler(assert_handler handler) noexcept {
  return installed_handler.exchange(handler, sync::acq_rel);
}

void detail::assertion_failed(const char* file, int line, const char* condition, const char* text) {
  if (assert_handler handler = installed_handler.load(sync::acquire)) handler(file, line, condition, text);
  std::fprintf(stderr, "%s:%d: assertion failed: %s (%s)\n", file, line, text, condition);
  std::abort();
}

}  // namespace coppice
