// SPDX-License-Identifier: Apache-2.0
#include <coppice/process/exit_reason.hpp>

#include <coppice/base/detail/sync.hpp>

#include "process/throw_recorder.hpp"

#include <algorithm>
#include <cxxabi.h>
#include <cstring>
#include <cstdlib>
#include <memory>
#include <typeinfo>
#include <vector>

namespace coppice {

namespace sync = detail::sync;

namespace detail {

/// The words of a reason. Immutable once made; counted, because a death is told to many. Only the text of recorded frames is made
/// later, by who reads it first: it is slow, and most reasons are never read.
struct reason_detail {
  ~reason_detail() { delete late_trace.load(sync::relaxed); }

  sync::atomic<std::uint32_t> holders{1};
  exit_reason::code code;
  std::string text;
  std::string type;
  std::string trace;
  std::vector<void*> frames;
  sync::atomic<std::string*> late_trace;      // release by who made it, acquire by who reads it
};

}  // namespace detail

namespace {

detail::reason_detail* make_words(exit_reason::code code, std::string_view text, std::string_view type = {}, std::string_view trace = {}) {
  auto d = std::make_unique<detail::reason_detail>();
  d->code = code;
  d->text = text;
  d->type = type;
  d->trace = trace;
  return d.release();
}

sync::atomic<const internal::throw_recorder*> recorder;

/// The frames at the throw of the exception being handled, if somebody recorded them.
std::vector<void*> recorded_frames() {
  const internal::throw_recorder* r = recorder.load(sync::acquire);
  if (r == nullptr) return {};
  const std::exception_ptr now = std::current_exception();
  const void* object = nullptr;
  static_assert(sizeof now == sizeof object);  // it is the object's address, in libstdc++ and in libc++
  std::memcpy(&object, &now, sizeof object);
  void* frames[internal::most_frames];
  const std::size_t count = std::min(r->frames(object, frames, internal::most_frames), internal::most_frames);
  return std::vector<void*>(frames, frames + count);
}

std::string readable(const char* mangled) {
  int status = 0;
  char* name = abi::__cxa_demangle(mangled, nullptr, nullptr, &status);
  std::string out = status == 0 && name != nullptr ? name : mangled;
  std::free(name);
  for (const std::string_view ugly : {"std::__cxx11::", "std::__1::"})
    for (std::size_t at; (at = out.find(ugly)) != std::string::npos;) out.replace(at, ugly.size(), "std::");
  return out;
}

}  // namespace

exit_reason::exit_reason(std::string_view text) : exit_reason(make_words(custom, text)) {}

exit_reason exit_reason::with_text(code c, std::string_view text) {
  return text.empty() ? exit_reason(c) : exit_reason(make_words(c, text));
}

exit_reason exit_reason::shutdown_because(std::string_view payload) { return with_text(shutdown, payload); }

exit_reason exit_reason::from_exception(std::string_view type, std::string_view what, std::string_view trace) {
  return exit_reason(make_words(error, what, type, trace));
}

exit_reason exit_reason::from_current_exception() noexcept {
  exit_reason why = words_of_current_exception();
  try {
    // Words that others hold, too, are of an earlier end: they keep the trace of that one.
    if (detail::reason_detail* const d = why.words(); d != nullptr && d->holders.load(sync::relaxed) == 1) d->frames = recorded_frames();
  } catch (...) {                             // no memory for the frames
  }
  return why;
}

exit_reason exit_reason::words_of_current_exception() noexcept {
  try {
    try {
      throw;
    } catch (const exit_error& e) {
      // A failed operation that nobody caught: its reason is ours, said in its words. A quiet one (the server that we asked
      // had ended normally) would hide that we failed (PR-13).
      if (e.reason().is_quiet()) return from_exception(readable(typeid(e).name()), e.what());
      return e.reason().text().empty() ? with_text(e.reason().what(), e.what()) : e.reason();
    } catch (const std::exception& e) {
      return from_exception(readable(typeid(e).name()), e.what());
    } catch (const char* text) {
      return from_exception("const char*", text != nullptr ? text : "(null)");
    } catch (const std::string& text) {
      return from_exception("std::string", text);
    } catch (...) {
      const std::type_info* type = abi::__cxa_current_exception_type();
      return from_exception(type != nullptr ? readable(type->name()) : "unknown", "");
    }
  } catch (...) {
    return exit_reason(error);                // no memory for words
  }
}

exit_reason exit_reason::fault(int signal, std::uintptr_t address) {
  const auto hex = [](std::uintptr_t v) {
    std::string s;
    do { s.insert(s.begin(), "0123456789abcdef"[v & 15]); } while ((v >>= 4) != 0);
    return "0x" + s;
  };
  return with_text(code_fault, "signal " + std::to_string(signal) + " at " + hex(address));
}

exit_reason::code exit_reason::code_of_words() const noexcept { return words()->code; }
std::string_view exit_reason::text() const noexcept { return has_words() ? words()->text : std::string_view(); }
std::string_view exit_reason::type() const noexcept { return has_words() ? words()->type : std::string_view(); }
std::string_view exit_reason::trace() const noexcept {
  detail::reason_detail* const d = words();
  if (d == nullptr) return {};
  if (d->frames.empty()) return d->trace;
  if (const std::string* made = d->late_trace.load(sync::acquire)) return *made;
  const internal::throw_recorder* r = recorder.load(sync::acquire);
  if (r == nullptr) return {};
  try {
    auto* mine = new std::string(r->text(d->frames.data(), d->frames.size()));
    std::string* first = nullptr;
    if (d->late_trace.cas(first, mine, sync::acq_rel)) return *mine;
    delete mine;                              // somebody else was quicker
    return *first;
  } catch (...) {
    return {};
  }
}

bool operator==(const exit_reason& a, const exit_reason& b) noexcept {
  return a.word_ == b.word_ || (a.what() == b.what() && a.text() == b.text() && a.type() == b.type());
}

void exit_reason::retain() const noexcept { words()->holders.fetch_add(1, sync::relaxed); }
void exit_reason::release() noexcept {
  if (words()->holders.fetch_sub(1, sync::acq_rel) == 1) delete words();
  word_ = normal;
}

std::string_view to_text(exit_reason::code c) noexcept {
  switch (c) {
    case exit_reason::normal: return "normal";
    case exit_reason::shutdown: return "shutdown";
    case exit_reason::kill: return "kill";
    case exit_reason::killed: return "killed";
    case exit_reason::noproc: return "noproc";
    case exit_reason::noconnection: return "noconnection";
    case exit_reason::timeout: return "timeout";
    case exit_reason::calling_self: return "calling_self";
    case exit_reason::no_reply: return "no_reply";
    case exit_reason::bad_request: return "bad_request";
    case exit_reason::system_limit: return "system_limit";
    case exit_reason::error: return "error";
    case exit_reason::custom: return "custom";
    case exit_reason::bad_return_value: return "bad_return_value";
    case exit_reason::blocking_in_leaf: return "blocking_in_leaf";
    case exit_reason::code_fault: return "code_fault";
    case exit_reason::cell_died: return "cell_died";
    case exit_reason::cell_corrupt: return "cell_corrupt";
    case exit_reason::cell_overrun: return "cell_overrun";
  }
  return "?";
}

std::string to_text(const exit_reason& reason) {
  const std::string text(reason.text());
  switch (reason.what()) {
    case exit_reason::custom: return text.empty() ? "custom" : text;
    case exit_reason::error: {
      const std::string type(reason.type());
      if (type.empty()) return text.empty() ? "error" : text;
      return text.empty() ? type : type + ": " + text;
    }
    default: return text.empty() ? std::string(to_text(reason.what())) : std::string(to_text(reason.what())) + ": " + text;
  }
}

void internal::set_throw_recorder(const throw_recorder* r) noexcept { recorder.store(r, sync::release); }

exit_error::exit_error(exit_reason reason, std::string_view what)
    : reason_(std::move(reason)), what_(what.empty() ? to_text(reason_) : std::string(what)) {}

}  // namespace coppice
