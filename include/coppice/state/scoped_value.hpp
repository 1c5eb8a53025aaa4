// SPDX-License-Identifier: Apache-2.0
//
// scoped_value: a value that is bound for the length of a scope, for all that is called there, and for the actions and futures that are
// started there: they see it as it was then, whenever and wherever they run.
//
//     scoped_value<std::string> tenant("nobody");
//     {
//       const value_scope as(tenant, "ann");
//       log.send(add_line);                        // add_line sees *tenant == "ann"
//     }
//
// What is bound belongs to the running process or thread: a process that is spawned, or a server that is called, sees none of it.
//
// Thread: any; a scoped_value must outlive its scopes and what was started in them.
#pragma once

#include <coppice/base/detail/sync.hpp>

#include <concepts>
#include <cstdint>
#include <new>
#include <utility>

namespace coppice {

namespace detail {

/// One value that is bound. A chain, innermost first; held by the scope and by all that was started in it.
struct binding {
  sync::atomic<std::uint32_t> holders{1, "binding"};
  binding* outer = nullptr;
  const void* key = nullptr;                     // the scoped_value
  void (*destroy)(binding* self) noexcept = nullptr;
};
const binding* find_binding(const void* key) noexcept;

class binding_scope {
 public:
  explicit binding_scope(binding* fresh) noexcept;
  ~binding_scope();
  binding_scope(const binding_scope&) = delete;
  binding_scope& operator=(const binding_scope&) = delete;

 private:
  binding* bound_;
  alignas(void*) unsigned char place_[96];       // of what src/state/activity.hpp keeps on the stack
};

template <class T>
struct typed_binding : binding {
  template <class U>
  explicit typed_binding(U&& given) : value(static_cast<U&&>(given)) {}
  T value;
};

}  // namespace detail

template <class T>
class scoped_value {
 public:
  /// `otherwise` is seen where nothing is bound.
  explicit scoped_value(T otherwise) : otherwise_(std::move(otherwise)) {}
  scoped_value(const scoped_value&) = delete;
  scoped_value& operator=(const scoped_value&) = delete;

  /// What the innermost scope has bound here.   Returns: a reference that is valid in that scope.   Cost: one step a scope.   Spec: AG-11.
  const T& operator*() const noexcept {
    const detail::binding* b = detail::find_binding(this);
    return b != nullptr ? static_cast<const detail::typed_binding<T>*>(b)->value : otherwise_;
  }
  const T* operator->() const noexcept { return &**this; }

 private:
  T otherwise_;
};

/// Binds a value while it lives. On the stack only.   Thread: the process or thread whose stack it is.   Spec: AG-11, FU-1.
template <class T>
class value_scope {
 public:
  template <class U>
    requires std::convertible_to<U, T>
  value_scope(const scoped_value<T>& of, U&& value) : scope_(bind(of, static_cast<U&&>(value))) {}
  static void* operator new(std::size_t) = delete;
  static void* operator new[](std::size_t) = delete;

 private:
  template <class U>
  static detail::binding* bind(const scoped_value<T>& of, U&& value) {
    auto* b = new detail::typed_binding<T>(static_cast<U&&>(value));
    b->key = &of;
    b->destroy = [](detail::binding* self) noexcept { delete static_cast<detail::typed_binding<T>*>(self); };
    return b;
  }
  detail::binding_scope scope_;
};

}  // namespace coppice
