// SPDX-License-Identifier: Apache-2.0
//
// context, the implementation. See context.hpp.
#include "sim/context.hpp"

#include <cxxabi.h>
#include <array>
#include <cstdint>
#include <cstring>

#if !defined(__x86_64__)
#error "the simulation's context switch is written for x86-64"
#endif

asm(R"(
  .text
  .globl coppice_sim_switch
  .type coppice_sim_switch, @function
coppice_sim_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
  .size coppice_sim_switch, .-coppice_sim_switch

  .type coppice_sim_begin, @function
coppice_sim_begin:
  .cfi_startproc
  .cfi_undefined rip   # the unwinder ends here
  call *%rbx
  ud2
  .cfi_endproc
  .size coppice_sim_begin, .-coppice_sim_begin
)");

extern "C" void coppice_sim_begin();

namespace coppice::internal::sim {

void* fresh_context(void* stack_top, void (*begin)()) noexcept {
  const auto top = reinterpret_cast<std::uintptr_t>(stack_top) & ~std::uintptr_t{15};
  // As coppice_sim_switch leaves it: r15 r14 r13 r12 rbx rbp, the return address, 16 spare bytes.
  const std::array<std::uintptr_t, 9> frame{
      0, 0, 0, 0, reinterpret_cast<std::uintptr_t>(begin), 0, reinterpret_cast<std::uintptr_t>(&coppice_sim_begin),
      0, 0};
  void* sp = reinterpret_cast<void*>(top - sizeof frame);
  std::memcpy(sp, frame.data(), sizeof frame);
  return sp;
}

exception_globals swap_exception_globals(exception_globals next) noexcept {
  auto* here = reinterpret_cast<exception_globals*>(abi::__cxa_get_globals());
  const exception_globals old = *here;
  *here = next;
  return old;
}

}  // namespace coppice::internal::sim
