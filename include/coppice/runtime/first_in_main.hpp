// SPDX-License-Identifier: Apache-2.0
//
// first_in_main: what must happen before a program has threads: to fork a process that shall start others later, to block
// signals everywhere. Parts of a program announce it while globals are initialised; `main` lets it happen in its first line.
#pragma once

namespace coppice {

/// Something to be done first in `main`. A global, made before `main` begins; it does nothing by itself.
/// Thread: none but the first is there yet.   Spec: C12
class first_hook {
 public:
  /// Calls `run(context, argc, argv)`, in the order in which hooks were made. Throws what it likes: `main` gets it.
  first_hook(void (*run)(void* context, int argc, char** argv), void* context = nullptr) noexcept;
  first_hook(const first_hook&) = delete;
  first_hook& operator=(const first_hook&) = delete;

 private:
  friend void first_in_main(int argc, char** argv);
  void (*run_)(void* context, int argc, char** argv);
  void* context_;
  first_hook* next_ = nullptr;
};

/// Lets the hooks run, once; a second call does nothing. Call it in the first line of `main`: `run(application, …)` comes later.
/// Fails:    std::logic_error if there are hooks and the program has other threads already; what a hook throws.
/// Thread:   the first, while it is the only one.   Spec: C12
void first_in_main(int argc, char** argv);

}  // namespace coppice
