// SPDX-License-Identifier: Apache-2.0
//
// poison: tells AddressSanitizer which pooled memory is free. Without that tool both functions are empty.
#pragma once

#include <cstddef>

#if defined(__SANITIZE_ADDRESS__)
#define COPPICE_HAS_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define COPPICE_HAS_ASAN 1
#endif
#endif

#if defined(COPPICE_HAS_ASAN)
#include <sanitizer/asan_interface.h>
#endif

namespace coppice::internal {

#if defined(COPPICE_HAS_ASAN)
inline void poison(void* block, std::size_t bytes) noexcept { __asan_poison_memory_region(block, bytes); }
inline void unpoison(void* block, std::size_t bytes) noexcept { __asan_unpoison_memory_region(block, bytes); }
#else
inline void poison(void*, std::size_t) noexcept {}
inline void unpoison(void*, std::size_t) noexcept {}
#endif

}  // namespace coppice::internal
