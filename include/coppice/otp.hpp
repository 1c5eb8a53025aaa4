// SPDX-License-Identifier: Apache-2.0
//
// All public headers of the room otp: for convenience; single headers compile faster.
#pragma once

#include <coppice/otp/application.hpp>
#include <coppice/otp/async_stream.hpp>
#include <coppice/otp/batch.hpp>
#include <coppice/otp/call.hpp>
#include <coppice/otp/call_error.hpp>
#include <coppice/otp/child.hpp>
#include <coppice/otp/config.hpp>
#include <coppice/otp/dynamic_supervisor.hpp>
#include <coppice/otp/from.hpp>
#include <coppice/otp/gen_event.hpp>
#include <coppice/otp/gen_server.hpp>
#include <coppice/otp/gen_statem.hpp>
#include <coppice/otp/next.hpp>
#include <coppice/otp/outcome.hpp>
#include <coppice/otp/partition_supervisor.hpp>
#include <coppice/otp/registry.hpp>
#include <coppice/otp/registry_error.hpp>
#include <coppice/otp/request.hpp>
#include <coppice/otp/server_ref.hpp>
#include <coppice/otp/server_timer.hpp>
#include <coppice/otp/start.hpp>
#include <coppice/otp/supervisor.hpp>
#include <coppice/otp/sys.hpp>
#include <coppice/otp/task.hpp>
#include <coppice/otp/task_child.hpp>
#include <coppice/otp/task_error.hpp>
#include <coppice/otp/task_group.hpp>
#include <coppice/otp/task_message.hpp>
#include <coppice/otp/task_supervisor.hpp>
#include <coppice/otp/transitions.hpp>
