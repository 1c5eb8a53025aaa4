// SPDX-License-Identifier: Apache-2.0
//
// frame_text by elfutils' libdwfl: symbols of the program and its libraries, lines where there is debug information.
#include "app/frame_text.hpp"

#include <coppice/base/detail/sync.hpp>

#include <cxxabi.h>
#include <elfutils/libdwfl.h>
#include <link.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string_view>
#include <vector>

namespace coppice::internal {

namespace {

namespace sync = detail::sync;

/// The modules of the running program, reported anew for each text: libraries come and go.
class modules {
 public:
  modules() noexcept : dwfl_(dwfl_begin(&callbacks)) { refresh(); }
  modules(const modules&) = delete;

  void refresh() noexcept {
    if (dwfl_ == nullptr) return;
    dwfl_report_begin_add(dwfl_);
    dwfl_linux_proc_report(dwfl_, getpid());
    dwfl_report_end(dwfl_, nullptr, nullptr);
  }
  Dwfl_Module* at(Dwarf_Addr address) const noexcept { return dwfl_ != nullptr ? dwfl_addrmodule(dwfl_, address) : nullptr; }

 private:
  static inline char* no_debug_path = nullptr;
  static constexpr Dwfl_Callbacks callbacks{.find_elf = dwfl_linux_proc_find_elf,
                                            .find_debuginfo = dwfl_standard_find_debuginfo,
                                            .section_address = dwfl_offline_section_address,
                                            .debuginfo_path = &no_debug_path};
  Dwfl* dwfl_;
};

std::string readable(const char* symbol) {
  int status = 0;
  char* name = abi::__cxa_demangle(symbol, nullptr, nullptr, &status);
  std::string text = status == 0 && name != nullptr ? name : symbol;
  std::free(name);
  for (const std::string_view ugly : {"std::__cxx11::", "std::__1::"})
    for (std::size_t at; (at = text.find(ugly)) != std::string::npos;) text.replace(at, ugly.size(), "std::");
  return text;
}

/// The file's name without its folders.
std::string_view last_part(std::string_view path) noexcept { return path.substr(path.rfind('/') + 1); }

std::string function_at(const modules& all, std::uintptr_t address) {
  Dwfl_Module* m = all.at(address);
  const char* symbol = m != nullptr ? dwfl_module_addrname(m, address) : nullptr;
  return symbol != nullptr ? readable(symbol) : std::string();
}

struct source_line {
  const char* file = nullptr;
  int line = 0;
  std::string text() const { return " at " + std::string(last_part(file)) + ':' + std::to_string(line); }
  bool is_of_the_program() const noexcept { return file != nullptr && std::string_view(file).find("include/coppice/") == std::string_view::npos; }
};

/// Compilers that write no table of address ranges (clang): the unit is looked for one by one.
source_line line_by_units(Dwfl_Module* m, Dwarf_Addr address) {
  source_line l;
  Dwarf_Addr bias = 0;
  for (Dwarf_Die* unit = nullptr; (unit = dwfl_module_nextcu(m, unit, &bias)) != nullptr;) {
    if (dwarf_haspc(unit, address - bias) != 1) continue;
    Dwarf_Line* found = dwarf_getsrc_die(unit, address - bias);
    if (found == nullptr || dwarf_lineno(found, &l.line) != 0) return {};
    l.file = dwarf_linesrc(found, nullptr, nullptr);
    return l;
  }
  return l;
}

source_line line_at(const modules& all, std::uintptr_t address) {
  source_line l;
  Dwfl_Module* m = all.at(address);
  if (m == nullptr) return l;
  if (Dwfl_Line* found = dwfl_module_getsrc(m, address))
    l.file = dwfl_lineinfo(found, nullptr, &l.line, nullptr, nullptr, nullptr);
  return l.file != nullptr ? l : line_by_units(m, address);
}

std::string place_at(const modules& all, std::uintptr_t address) {
  Dwfl_Module* m = all.at(address);
  if (m == nullptr) return {};
  if (const source_line l = line_at(all, address); l.file != nullptr) return l.text();
  Dwarf_Addr begin = 0;
  const char* name = dwfl_module_info(m, nullptr, &begin, nullptr, nullptr, nullptr, nullptr, nullptr);
  char offset[40];
  std::snprintf(offset, sizeof offset, "+0x%llx", static_cast<unsigned long long>(address - begin));
  return name != nullptr ? " in " + std::string(last_part(name)) + offset : std::string();
}

/// What a handler stands on: the library's trampolines, which nobody wants to read about.
bool is_below_the_program(std::string_view function) noexcept {
  const auto has = [&](std::string_view part) { return function.find(part) != std::string_view::npos; };
  return has("coppice::detail::run_") || has("coppice::detail::body_of<") || has("coppice::internal::run_");
}

std::string frames_as_text(const modules& all, void* const* frames, std::size_t count) {
  std::string text;
  for (std::size_t i = 0; i < count; ++i) {
    const auto address = reinterpret_cast<std::uintptr_t>(frames[i]) - 1;  // a return address: the call stands before it
    const std::string function = function_at(all, address);
    if (is_below_the_program(function)) {
      // A handler that was compiled into its trampoline shows by its line.
      if (const source_line l = line_at(all, address); l.is_of_the_program()) text += (text.empty() ? "" : "\n") + ("the handler" + l.text());
      break;
    }
    if (!text.empty()) text += '\n';
    text += (function.empty() ? "(unknown)" : function) + place_at(all, address);
  }
  return text;
}

/// libdwfl is not made for threads, and works for milliseconds: who waits, sleeps.
class sleeping_lock {
 public:
  void lock() noexcept {
    while (held_.exchange(1, sync::acquire) != 0) sync::futex_wait(held_, 1);
  }
  void unlock() noexcept {
    held_.store(0, sync::release);
    sync::futex_wake(&held_, 1);
  }

 private:
  sync::futex_word held_;
};

struct sleeping_guard {
  explicit sleeping_guard(sleeping_lock& l) noexcept : lock(l) { lock.lock(); }
  ~sleeping_guard() { lock.unlock(); }
  sleeping_guard(const sleeping_guard&) = delete;
  sleeping_lock& lock;
};

/// How often libraries were loaded and unloaded so far.
struct generation {
  unsigned long long loaded = 0;
  unsigned long long unloaded = 0;
  friend bool operator==(const generation&, const generation&) = default;
};

generation generation_now() noexcept {
  generation g;
  dl_iterate_phdr(
      [](dl_phdr_info* info, std::size_t, void* raw) {
        *static_cast<generation*>(raw) = {info->dlpi_adds, info->dlpi_subs};
        return 1;
      },
      &g);
  return g;
}

/// Who crashes again and again does so in the same place: its text is made once.
struct known_texts {
  static constexpr std::size_t most = 256;
  generation of{};
  std::map<std::vector<void*>, std::string> texts{};
};

struct job {
  const std::vector<void*>& frames;
  std::string text{};
};

sleeping_lock lock;                       // over the next two
modules* all_modules;                     // never given back: it caches what it has read
known_texts* known;

/// In a thread of its own: libdwfl needs more stack than a fiber has.
void work(void* raw) {
  job& j = *static_cast<job*>(raw);
  try {
    const generation now = generation_now();
    if (all_modules == nullptr) {
      all_modules = new modules;
      known = new known_texts;
    } else if (known->of != now) {
      all_modules->refresh();
      known->texts.clear();
    }
    known->of = now;
    if (known->texts.size() == known_texts::most) known->texts.clear();
    j.text = known->texts[j.frames] = frames_as_text(*all_modules, j.frames.data(), j.frames.size());
  } catch (...) {                         // no memory: no text
  }
}

const std::string* known_text(const std::vector<void*>& frames) {
  if (known == nullptr || known->of != generation_now()) return nullptr;
  const auto found = known->texts.find(frames);
  return found != known->texts.end() ? &found->second : nullptr;
}

}  // namespace

std::string text_of_frames(void* const* frames, std::size_t count) {
  const std::vector<void*> key(frames, frames + count);
  const sleeping_guard held(lock);
  if (const std::string* text = known_text(key)) return *text;
  job j{key};
  sync::thread(&work, &j, "coppice/trace").join();
  return std::move(j.text);
}

}  // namespace coppice::internal
