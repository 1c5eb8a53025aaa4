// SPDX-License-Identifier: Apache-2.0
//
// batch: several queued messages of one type, handled in one go: a server with `handle_cast(batch<M>)` instead of
// `handle_cast(M)` gets the M that are next in its mailbox, in their order, up to batch<M>::most; likewise handle_info. Nothing
// is waited for: a batch may hold one message. Messages of other types are not overtaken.
#pragma once

#include <cstddef>
#include <iterator>

namespace coppice {

/// Used by the server while its handler runs. A handler may move the messages out.   Spec: GS-X6.
template <class M>
class batch {
 public:
  static constexpr std::size_t most = 64;

  class iterator {
   public:
    using value_type = M;
    using difference_type = std::ptrdiff_t;
    iterator() noexcept = default;
    explicit iterator(M* const* at) noexcept : at_(at) {}
    M& operator*() const noexcept { return **at_; }
    M* operator->() const noexcept { return *at_; }
    iterator& operator++() noexcept {
      ++at_;
      return *this;
    }
    iterator operator++(int) noexcept { return iterator(at_++); }
    friend bool operator==(iterator, iterator) noexcept = default;

   private:
    M* const* at_ = nullptr;
  };

  batch(M* const* first, std::size_t count) noexcept : first_(first), count_(count) {}
  std::size_t size() const noexcept { return count_; }
  M& operator[](std::size_t i) const noexcept { return *first_[i]; }
  iterator begin() const noexcept { return iterator(first_); }
  iterator end() const noexcept { return iterator(first_ + count_); }

 private:
  M* const* first_;
  std::size_t count_;
};

}  // namespace coppice
