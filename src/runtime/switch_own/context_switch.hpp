// SPDX-License-Identifier: Apache-2.0
//
// context_switch, x86-64 variant: about 1 ns a switch. CMake puts this folder or switch_boost on the include path.
//
// The switch is inline assembly that saves four registers (stack, frame, base, program counter) and declares every
// other register as destroyed, so the compiler spills exactly what is alive at that place and nothing else.
//
// Invariants
//   1. All vector, mask and x87 registers of the *target* are on the destroyed list: with AVX-512 also 16-31 and k0-k7.
//      One missing register is silent corruption under -march=native.
//   2. rbx and rbp are saved by hand: a compiler may hold its frame or base pointer there and then cannot spill them.
//   3. Nothing is pushed: the red zone of the function that the switch is inlined into stays as it was.
//   4. Not switched: mxcsr and x87 control words, the signal mask, the shadow stack (hence switch_boost where the
//      hardware enforces one).
//
// Thread: a context is touched by one thread at a time. Design note: docs/internals/fibers.md.
#pragma once

#include <cstddef>
#include <cstdint>

#if !defined(__x86_64__) || defined(__ILP32__)
#error "this switch is for x86-64: configure with the Boost.Context variant"
#endif

#if defined(__AVX512F__)
#define COPPICE_WIDE_VECTOR_REGISTERS                                                                              \
  , "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm24", "xmm25", "xmm26", "xmm27",    \
      "xmm28", "xmm29", "xmm30", "xmm31", "k0", "k1", "k2", "k3", "k4", "k5", "k6", "k7"
#else
#define COPPICE_WIDE_VECTOR_REGISTERS
#endif

#if defined(__APX_F__)
#define COPPICE_WIDE_GENERAL_REGISTERS                                                                             \
  , "r16", "r17", "r18", "r19", "r20", "r21", "r22", "r23", "r24", "r25", "r26", "r27", "r28", "r29", "r30", "r31"
#else
#define COPPICE_WIDE_GENERAL_REGISTERS
#endif

namespace coppice::internal {

/// Where a context that is not running goes on. The offsets are known to the assembly below.
struct context {
  void* stack_pointer = nullptr;
  void* frame_pointer = nullptr;
  void* base_pointer = nullptr;
  void* program_counter = nullptr;

  /// The lowest stack address that a context which is not running still needs (its red zone lies below).
  std::byte* lowest() const noexcept { return static_cast<std::byte*>(stack_pointer) - 128; }
};

/// First instructions of a fresh context: the argument waits in rbx, the entry function on the stack. The undefined
/// return address tells unwinders and debuggers that nothing lies below.
[[gnu::naked, gnu::noinline]] inline void context_begin() {
  asm volatile(
      ".cfi_undefined rip\n\t"
      ".cfi_undefined rbp\n\t"
      "popq %rax\n\t"
      "movq %rbx, %rdi\n\t"
      "xorl %ebp, %ebp\n\t"
      "callq *%rax\n\t"
      "ud2");
}

/// Makes `fresh` start with `entry(argument)` below `top` when it is first switched to. `entry` must never return.
inline void make_context(context& fresh, std::byte* /*bottom*/, std::byte* top, void (*entry)(void*),
                         void* argument) noexcept {
  auto address = reinterpret_cast<std::uintptr_t>(top) & ~std::uintptr_t{15};
  auto* word = reinterpret_cast<void**>(address) - 1;  // context_begin pops it: then the stack is aligned for its call
  *word = reinterpret_cast<void*>(entry);
  fresh = {.stack_pointer = word,
           .frame_pointer = nullptr,
           .base_pointer = argument,
           .program_counter = reinterpret_cast<void*>(&context_begin)};
}

/// Saves the running context in `from` and goes on with `to`. Returns when somebody switches to `from`.
[[gnu::always_inline]] inline void switch_context(context& from, context& to) noexcept {
  context* saved = &from;
  context* next = &to;
  asm volatile(
      "leaq 1f(%%rip), %%rax\n\t"
      "movq %%rsp, 0(%%rdi)\n\t"
      "movq %%rbp, 8(%%rdi)\n\t"
      "movq %%rbx, 16(%%rdi)\n\t"
      "movq %%rax, 24(%%rdi)\n\t"
      "movq 0(%%rsi), %%rsp\n\t"
      "movq 8(%%rsi), %%rbp\n\t"
      "movq 16(%%rsi), %%rbx\n\t"
      "jmpq *24(%%rsi)\n"
      "1:"
      : "+D"(saved), "+S"(next)
      :
      : "memory", "cc", "rax", "rcx", "rdx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
        "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12",
        "xmm13", "xmm14", "xmm15", "st", "st(1)", "st(2)", "st(3)", "st(4)", "st(5)", "st(6)", "st(7)",
        "mm0", "mm1", "mm2", "mm3", "mm4", "mm5", "mm6", "mm7"
        COPPICE_WIDE_VECTOR_REGISTERS COPPICE_WIDE_GENERAL_REGISTERS);
}

}  // namespace coppice::internal

#undef COPPICE_WIDE_VECTOR_REGISTERS
#undef COPPICE_WIDE_GENERAL_REGISTERS
