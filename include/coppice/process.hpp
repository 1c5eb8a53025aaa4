// SPDX-License-Identifier: Apache-2.0
//
// All public headers of the room process: for convenience; single headers compile faster.
#pragma once

#include <coppice/process/child_spec.hpp>
#include <coppice/process/codec.hpp>
#include <coppice/process/exit_reason.hpp>
#include <coppice/process/message.hpp>
#include <coppice/process/name.hpp>
#include <coppice/process/pid.hpp>
#include <coppice/process/priority.hpp>
#include <coppice/process/process.hpp>
#include <coppice/process/process_info.hpp>
#include <coppice/process/receive.hpp>
#include <coppice/process/reference.hpp>
#include <coppice/process/runtime.hpp>
#include <coppice/process/timer.hpp>
#include <coppice/process/trace.hpp>
#include <coppice/process/when_full.hpp>
