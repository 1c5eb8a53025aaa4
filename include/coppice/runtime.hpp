// SPDX-License-Identifier: Apache-2.0
//
// Everything of the room runtime that is included by name elsewhere: for convenience; single headers compile faster.
#pragma once

#include <coppice/runtime/blocking.hpp>
#include <coppice/runtime/service_manager.hpp>
