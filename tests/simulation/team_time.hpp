#pragma once

/// How long a lane of a team takes: its pipeline played through, stage by stage and micro-batch by
/// micro-batch, with what goes over its members' connections.

#include <cstdint>
#include <vector>

namespace tequio::simulation {

/// One member. Seconds and bytes a second; all rates above 0.
struct team_stage {
    double forward = 0;   ///< of a micro-batch
    double backward = 0;  ///< likewise
    double up = 0, down = 0;
    double delay = 0;  ///< its part of a message's way, one way
};

struct team_job {
    std::uint64_t steps = 1;
    std::uint64_t micro_batches = 1;
    double message_bytes = 0;       ///< of a micro-batch, from one stage to the next, and back
    double contribution_bytes = 0;  ///< of the whole lane, at its end to the first member
};

struct team_times {
    double lane = 0;                 ///< seconds
    std::vector<double> computes;    ///< by stage, of those
    std::vector<double> stage;       ///< what a stage computes or sends, whichever is longer
    std::vector<double> sent_bytes;  ///< by stage, to others of the team
    /// Mean stage time over the slowest stage's.
    double balance() const;
};

/// Every step is one forward, one backward (training/model/pipeline.hpp); messages take their turn
/// on the sender's uplink and the receiver's downlink, and of those on one way at most two are not
/// taken (`training::team_messages_max`), else the sender waits. A step ends when its norm has gone
/// from all to all. At least one stage; `stages` in order.
team_times time_of(const std::vector<team_stage>& stages, const team_job& job);

}  // namespace tequio::simulation
