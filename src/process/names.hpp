// SPDX-License-Identifier: Apache-2.0
//
// names: giving names to processes and taking them back when the holder ends.
#pragma once

#include <coppice/process/name.hpp>

#include "process/slot.hpp"
#include "process/system.hpp"

namespace coppice::internal {

/// Gives the local `name` to the owned process `s`. Returns: who has it now: `s`, or somebody else who had it before.
pid give_name(system& sys, slot& s, std::string_view name);
/// The same for a name of any form.
pid claim_name_as_owner(const name_view& name, slot& s);
/// Takes `name` back from `holder`, who ends.
void release_name(const detail::held_name& name, pid holder) noexcept;

}  // namespace coppice::internal
