// SPDX-License-Identifier: Apache-2.0
//
// registry_error: what a person reads when a registry refuses.
#include <coppice/otp/registry_error.hpp>

#include "otp/registry_core.hpp"

#include <string>
#include <utility>

namespace coppice {

registry_error::registry_error(kind what, pid holder, std::string text) : kind_(what), holder_(holder), text_(std::move(text)) {}

namespace detail {

namespace {

std::string named_registry(const registry_core& c) { return c.options.name.empty() ? "registry" : "registry \"" + c.options.name + '"'; }

std::string shown_key(const registry_core& c, const key_ref& key) {
  text_sink out({.max_bytes = 300});
  if (c.types.text_keys && out.open("key")) {    // in braces: quoted, and nothing that a terminal would obey
    out.item();
    out.put_string(key.text);
    out.close();
  } else {
    c.types.print_key(out, key.object);
  }
  return out.take();
}

}  // namespace

registry_error registry_base::error_of(registry_error::kind what, const key_ref& key) const {
  const std::string where = named_registry(*core_);
  switch (what) {
    case registry_error::not_registered: return {what, {}, where + ": the calling process has nothing under " + shown_key(*core_, key)};
    case registry_error::key_too_long:
      return {what, {}, where + ": a key of " + std::to_string(key.text.size()) + " bytes; it takes up to " + std::to_string(core_->options.longest_key)};
    case registry_error::not_running: return {what, {}, where + ": it is not running"};
    case registry_error::ending: return {what, {}, where + ": a process that ends registers nothing more"};
    default: return {what, {}, where};
  }
}

registry_error registry_base::error_of(const claim_result& r, const key_ref& key) const {
  switch (r.what) {
    case claim_result::taken:
      return {registry_error::already_registered, r.holder, named_registry(*core_) + ": " + shown_key(*core_, key) + " is taken by " + to_text(r.holder)};
    case claim_result::too_long: return error_of(registry_error::key_too_long, key);
    case claim_result::not_running: return error_of(registry_error::not_running, key);
    default: return error_of(registry_error::ending, key);
  }
}

void registry_base::must_be_unique(std::string_view operation) const {
  if (core_->unique) return;
  throw registry_error(registry_error::not_unique, {}, named_registry(*core_) + ": " + std::string(operation) + " is for unique keys; its keys are duplicate");
}

}  // namespace detail
}  // namespace coppice
