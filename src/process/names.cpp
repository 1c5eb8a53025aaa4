// SPDX-License-Identifier: Apache-2.0
//
// names: the local table, global names on one node, and via registries, behind one door.
#include "process/names.hpp"

#include <coppice/process/name.hpp>
#include <coppice/process/process.hpp>

#include "process/mailbox.hpp"
#include "process/signal.hpp"
#include "process/query.hpp"

#include <stdexcept>

namespace coppice {

namespace {

namespace sync = detail::sync;

sync::atomic<const name_resolver*> resolver;
constexpr std::string_view global_prefix("\0global\0", 8);   // cannot clash with a name that a person would choose

std::string prefixed(std::string_view name) { return std::string(global_prefix).append(name); }

pid find_local(internal::system& sys, std::string_view name) noexcept {
  const internal::name_holder h = sys.names.find(name);
  return h ? pid::of(static_cast<detail::slot*>(h.slot), h.serial) : pid{};
}

/// What a process does, as its owner, to have a name. Runs in the process's own turn, or by its maker.
pid hold(internal::system& sys, detail::slot& s, std::string text, bool global) {
  if (detail::has(s, detail::ending)) return {};         // its names have been freed: this one would stay for ever
  const internal::name_holder mine{&s, s.serial.load(sync::relaxed)};
  auto& names = detail::ext_of(s).gets().names;
  names.reserve(names.size() + 1);
  const internal::name_holder before = global ? sys.names.insert(prefixed(text), mine) : sys.names.insert(text, mine);
  if (before) return pid::of(static_cast<detail::slot*>(before.slot), before.serial);
  names.push_back({std::move(text), global, sys.number});
  return detail::pid_of(s);
}

struct claim_query {
  internal::system* of_caller;                   // for a plain thread, which is of no runtime
  std::string text;
  bool global;
  pid result;
};

pid hold_elsewhere(pid who, std::string_view text, bool global) {
  claim_query q{&internal::current_system(), std::string(text), global, {}};
  internal::ask(who, [](detail::slot* s, void* raw) {
    auto& c = *static_cast<claim_query*>(raw);
    if (s == nullptr) return;
    c.result = hold(detail::has(*s, detail::thread_proxy) ? *c.of_caller : internal::system_of(*s), *s, c.text, c.global);
  }, &q);
  return q.result;
}

}  // namespace

const name_resolver* set_name_resolver(const name_resolver* r) noexcept { return resolver.exchange(r, sync::acq_rel); }

namespace detail {

pid resolve(const name_view& name) noexcept {
  try {
    switch (name.form()) {
      case name_view::kind::none: return {};
      case name_view::kind::local: return find_local(internal::current_system(), name.text());
      case name_view::kind::global: {
        const name_resolver* r = resolver.load(sync::acquire);
        if (r != nullptr && r->whereis != nullptr) return r->whereis(name.text());
        return find_local(internal::current_system(), prefixed(name.text()));
      }
      case name_view::kind::via: return name.operations()->whereis(name.registry(), name.key());
    }
  } catch (...) {
    // A registry that fails knows nobody (GS-80).
  }
  return {};
}

namespace {

/// `owner`: the slot of `who`, if the caller owns it.
pid claim(const name_view& name, pid who, slot* owner) {
  if (!who.is_local() || !who) return {};
  switch (name.form()) {
    case name_view::kind::none: return who;
    case name_view::kind::via:
      return name.operations()->register_name(name.registry(), name.key(), name.value(), who, owner)
                 ? who : name.operations()->whereis(name.registry(), name.key());
    case name_view::kind::global: {
      const name_resolver* r = resolver.load(sync::acquire);
      if (r != nullptr && r->claim != nullptr) return r->claim(name.text(), who);
      [[fallthrough]];
    }
    case name_view::kind::local: break;
  }
  const bool is_global = name.form() == name_view::kind::global;
  if (owner != nullptr) return hold(internal::home_of(*owner), *owner, std::string(name.text()), is_global);
  return hold_elsewhere(who, name.text(), is_global);
}

}  // namespace

pid claim_name(const name_view& name, pid who) {
  slot* me = current_slot();
  return claim(name, who, me != nullptr && pid_of(*me) == who ? me : nullptr);
}

void free_name(const name_view& name) noexcept {
  try {
    if (name.form() == name_view::kind::via) return name.operations()->unregister_name(name.registry(), name.key());
    if (name.form() == name_view::kind::none) return;
    const bool is_global = name.form() == name_view::kind::global;
    const name_resolver* r = resolver.load(sync::acquire);
    if (is_global && r != nullptr && r->release != nullptr) return r->release(name.text());
    internal::system& sys = internal::current_system();
    const std::string full = is_global ? prefixed(name.text()) : std::string();
    const std::string_view key = is_global ? std::string_view(full) : name.text();
    const internal::name_holder h = sys.names.find(key);
    if (h) sys.names.erase(key, h);
  } catch (...) {
  }
}

}  // namespace detail

namespace internal {

pid claim_name_as_owner(const name_view& name, slot& s) { return detail::claim(name, detail::pid_of(s), &s); }

pid give_name(system& sys, slot& s, std::string_view name) { return hold(sys, s, std::string(name), false); }

void release_name(const detail::held_name& name, pid holder) noexcept {
  if (systems[name.home] == nullptr) return;   // its runtime is gone, and the table with it
  system& sys = *systems[name.home];
  const name_holder h{holder.where(), holder.serial()};
  if (name.global)
    sys.names.erase(prefixed(name.text), h);
  else
    sys.names.erase(name.text, h);
}

}  // namespace internal

std::optional<pid> whereis(const name_view& name) {
  const bool is_local = name.form() == name_view::kind::local;
  const pid p = is_local ? find_local(internal::current_system(), name.text()) : detail::resolve(name);
  return p ? std::optional<pid>(p) : std::nullopt;
}

owned_name::owned_name(const name_view& name)
    : text_(name.text()), operations_(name.operations()), registry_(name.registry()), kind_(name.form()) {
  if (kind_ != name_view::kind::via) return;
  if (operations_->key == nullptr) throw std::invalid_argument("the key of the name " + to_text(name) + " cannot be copied, so the name cannot be kept");
  key_ = any_value(*operations_->key, name.key());
  if (name.value() == nullptr) return;
  if (operations_->value == nullptr) throw std::invalid_argument("the value of the name " + to_text(name) + " cannot be copied, so the name cannot be kept");
  value_ = any_value(*operations_->value, name.value());
}

name_view owned_name::view() const noexcept {
  name_view v;
  v.text_ = text_;
  v.operations_ = operations_;
  v.registry_ = registry_;
  v.key_ = key_.address();
  v.value_ = value_.address();
  v.kind_ = kind_;
  return v;
}

bool operator==(const owned_name& a, const owned_name& b) {
  return a.kind_ == b.kind_ && a.text_ == b.text_ && a.registry_ == b.registry_ && a.key_ == b.key_ && a.value_ == b.value_;
}

std::string to_text(const name_view& name) {
  switch (name.form()) {
    case name_view::kind::none: return "(no name)";
    case name_view::kind::local: return '"' + std::string(name.text()) + '"';
    case name_view::kind::global: return "global \"" + std::string(name.text()) + '"';
    case name_view::kind::via: break;
  }
  text_sink out;
  name.operations()->print(out, name.key());
  return "via " + out.take();
}

}  // namespace coppice
