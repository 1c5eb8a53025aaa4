// SPDX-License-Identifier: Apache-2.0
//
// Everything of the room state that is included by name elsewhere: for convenience; single headers compile faster.
#pragma once

#include <coppice/state/arithmetic.hpp>
#include <coppice/state/atom.hpp>
#include <coppice/state/metadata.hpp>
#include <coppice/state/reference.hpp>
#include <coppice/state/state_error.hpp>
#include <coppice/state/tap.hpp>
#include <coppice/state/view.hpp>
