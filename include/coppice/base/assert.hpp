// SPDX-License-Identifier: Apache-2.0
//
// assert: statements about what cannot happen, checked where COPPICE_ASSERTS is defined (debug, sim, sanitizers).
//
// A failed one prints file, line, condition and text to stderr and aborts. The simulation installs its own handler, which
// adds the seed; a test may install one that throws. Any thread.
#pragma once

namespace coppice {

/// Hears of a failed assertion. It may throw or end the program; if it returns, the program aborts.
using assert_handler = void (*)(const char* file, int line, const char* condition, const char* text);

/// Installs `handler` for the whole program; null brings the default back.
/// Returns:  the handler that was there, or null if it was the default one.
assert_handler set_assert_handler(assert_handler handler) noexcept;

namespace detail {
[[noreturn]] void assertion_failed(const char* file, int line, const char* condition, const char* text);
}

}  // namespace coppice

#if defined(COPPICE_ASSERTS)
#define COPPICE_ASSERT(condition, text) \
  ((condition) ? void() : ::coppice::detail::assertion_failed(__FILE__, __LINE__, #condition, text))
#else
#define COPPICE_ASSERT(condition, text) ((void)sizeof((condition) ? 1 : 0))
#endif
