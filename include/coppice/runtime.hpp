// SPDX-License-Identifier: Apache-2.0
//
// All public headers of the room runtime: for convenience; single headers compile faster.
#pragma once

#include <coppice/runtime/blocking.hpp>
#include <coppice/runtime/first_in_main.hpp>
#include <coppice/runtime/service_manager.hpp>
