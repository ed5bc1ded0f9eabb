#include "node/core/job.hpp"

#include "base/sha256.hpp"
#include "p2p/identity.hpp"
#include "training/contribution.hpp"
#include "training/cost.hpp"
#include "training/lane_load.hpp"
#include "training/merge.hpp"
#include "training/slices.hpp"
#include "training/state.hpp"

namespace tequio::node {
namespace {

training::crew_slicing slicing_of(const training::task& task, const slice_room& room) {
    training::crew_slicing out;
    const auto max = std::min<std::uint64_t>(slices_max(task.work), training::crew_slices_max);
    if (max == 1) return out;
    out.max = static_cast<std::uint32_t>(max);
    out.memory_bytes = room.memory_bytes;
    out.need_bytes = [task, need = room.need_bytes](training::model_slice slice) {
        return need(task, slice);
    };
    out.lane = lane_load_of(task.work);
    out.compose = [work = task.work](const std::vector<std::vector<base::digest>>& lists) {
        return join_state_digests(work, lists);
    };
    return out;
}

ledger::receipt_verdict verdict_of(training::check_verdict verdict) {
    switch (verdict) {
        case training::check_verdict::matched:
            return ledger::receipt_verdict::matched;
        case training::check_verdict::refuted:
            return ledger::receipt_verdict::refuted;
        case training::check_verdict::unanswered:
            return ledger::receipt_verdict::unanswered;
        case training::check_verdict::unchecked:
            break;
    }
    return ledger::receipt_verdict::unchecked;
}

}  // namespace

training::crew_config crew_config_of(const training::task& task, const base::task_id& id,
                                     const p2p::identity& self, const node_logic_config& o) {
    const auto cost = training::cost_of(task.work);
    training::crew_config config;
    config.task = id;
    config.self = self.node();
    config.lanes = task.work.train.lanes;
    config.rounds = task.work.train.rounds;
    config.lane_tokens = cost.lane_tokens;
    config.contribution_bytes = cost.contribution_bytes;
    config.mean_bytes = cost.mean_bytes;
    config.validation = task.work.data.validation_tokens > 0;
    config.check = task.trust.check;
    config.settle = task.trust.settle;
    config.crew_min = task.trust.crew_min;
    config.crew_max = task.trust.crew_max;
    config.group_max = o.group_max;
    config.timings = o.crew;
    const auto layout = training::layout_of(task.work.model);
    const auto lane = shape_of(training::contribution_kind::lane, task.work, layout);
    const auto mean = shape_of(training::contribution_kind::mean, task.work, layout);
    config.mean_units = mean.units();
    config.shard = [lane, mean](training::contribution_run units) {
        const auto extent = training::shard_extent_of(lane, mean, units);
        return training::crew_shard{extent.lane_units, extent.part_bytes};
    };
    config.sums = [lane, mean](const training::partial_sums& which,
                               training::contribution_run shard) {
        const auto extent = training::partial_extent_of(lane, mean, which, shard);
        return training::crew_sums{extent.bytes, extent.pieces};
    };
    const auto* key = &self.key(p2p::key_role::message);
    config.keys.sign = [key](base::byte_view bytes) { return key->sign(bytes); };
    config.keys.certificate = self.certificate(p2p::key_role::message).encode();
    config.keys.verify_certificate =
        [](const base::node_id& node,
           base::byte_view certificate) -> base::result<base::public_key> {
        TEQUIO_TRY(const auto read,
                   p2p::verify_role_certificate(node, p2p::key_role::message, certificate));
        return read.key;
    };
    config.full_state_bytes = full_state_bytes_of(task);
    config.full_state_spacing = full_state_spacing_of(task);
    if (o.room.need_bytes) config.slices = slicing_of(task, o.room);
    return config;
}

std::vector<ledger::receipt_facts> receipts_of(const held_job& j,
                                               const training::check_recorded& recorded) {
    using training::check_verdict;
    const auto cost = training::cost_of(j.task->work);
    ledger::receipt_facts facts;
    facts.swarm = j.task->swarm;
    facts.task = j.id;
    facts.recipe = training::recipe_id_of(j.task->work);
    facts.round = recorded.round;
    facts.lane = recorded.lane;
    facts.worker = recorded.worker;
    facts.state = recorded.state;
    facts.contribution = recorded.result;
    facts.tokens = cost.lane_tokens;
    facts.flops = cost.lane_flops;
    facts.verdict = verdict_of(recorded.verdict);
    if (recorded.verdict != check_verdict::unchecked) facts.checker = recorded.checker;
    const bool by_teams = recorded.workers.size() > 1 || recorded.checkers.size() > 1;
    // A trace that is not shown is the first member's alone, whoever computed.
    if (!by_teams || recorded.verdict == check_verdict::unanswered) return {facts};

    std::vector<ledger::receipt_facts> out;
    const auto load = training::lane_load_of(j.task->work);
    const auto add_side = [&](const std::vector<base::node_id>& nodes) {
        const auto count = static_cast<std::uint32_t>(nodes.size());
        for (std::uint32_t i = 0; i < count; ++i) {
            auto one = facts;
            one.worker = nodes[i];
            if (count > 1) {
                one.slice = i;
                one.flops = load.work({i, count});
            }
            if (one.checker == one.worker) {
                one.checker.reset();
                one.verdict = ledger::receipt_verdict::unchecked;
            }
            out.push_back(one);
        }
    };
    add_side(recorded.workers);
    if (recorded.checkers.size() > 1) {
        facts.kind = ledger::receipt_kind::check;
        facts.contribution = recorded.checker_result;
        facts.checker = recorded.worker;
        add_side(recorded.checkers);
    }
    return out;
}

base::digest digest_of(const ledger::receipt_facts& facts) {
    base::byte_vector bytes;
    base::byte_writer w(bytes);
    w.raw(ledger::statement_key(ledger::statement::receipt, facts).view());
    w.raw(facts.swarm.view());
    w.raw(facts.recipe.view());
    w.raw(facts.state.view());
    w.raw(facts.contribution.view());
    w.u64(facts.tokens);
    w.u64(facts.flops);
    w.u8(static_cast<std::uint8_t>(facts.verdict));
    return base::sha256(bytes);
}

base::byte_vector round_record_of(const held_job& j, const training::check_recorded& recorded) {
    std::string text = "tequio/round-record/v1\n";
    text += "task " + j.id.hex() + "\n";
    text += "round " + std::to_string(recorded.round.value) + "\n";
    text += "lane " + std::to_string(recorded.lane.value) + "\n";
    text += "worker " + recorded.worker.hex() + "\n";
    text += "commitment " + recorded.commitment.hex() + "\n";
    text += "result " + recorded.result.hex() + "\n";
    text += "checker " + recorded.checker.hex() + "\n";
    text += "checker-commitment " + recorded.checker_commitment.hex() + "\n";
    text += "checker-result " + recorded.checker_result.hex() + "\n";
    const auto bytes = base::as_bytes(text);
    return {bytes.begin(), bytes.end()};
}

const char* job_state_name(training::job_state state) {
    switch (state) {
        case training::job_state::waiting:
            return "waiting";
        case training::job_state::running:
            return "running";
        case training::job_state::done:
            return "done";
        case training::job_state::failed:
            return "failed";
        case training::job_state::cancelled:
            return "cancelled";
    }
    return "unknown";
}

bool is_open(const held_job& j) {
    // Files of the model say that it was done before a restart, whatever its crew knows by now.
    if (j.phase == job_phase::ended || !j.files.empty()) return false;
    if (!j.crew) return true;
    const auto state = j.crew->view().state;
    return state == training::job_state::waiting || state == training::job_state::running;
}

void observe_speed(held_job& j, base::time_point now) {
    const auto rounds = j.crew ? j.crew->view().round : 0;
    if (rounds == j.rounds_seen) return;
    const auto finished = rounds > j.rounds_seen ? rounds - j.rounds_seen : 1;
    // A jump of several rounds is catching up, which says nothing of training speed.
    if (j.rounds_seen != 0 && finished == 1) {
        const double seconds = std::chrono::duration<double>(now - j.round_at).count();
        j.seconds_a_round =
            j.seconds_a_round > 0 ? 0.7 * j.seconds_a_round + 0.3 * seconds : seconds;
    }
    j.rounds_seen = rounds;
    j.round_at = now;
}

namespace {

/// A crew view for a job that has no crew, now or any more.
training::crew_view view_without_crew(const held_job& j) {
    training::crew_view v;
    v.rounds = j.task->work.train.rounds;
    v.reason_code = "fetching_data";
    v.reason = "the data is on its way";
    return v;
}

/// Of the task's blobs together, how many pieces there are and how many are here.
void count_pieces(const held_job& j, const p2p::network& network, job_view& v) {
    for (const auto& ref : training::task_blobs(*j.task)) {
        v.pieces += ref.pieces();
        if (!j.missing.contains(ref)) v.pieces_here += ref.pieces();
    }
    for (const auto& t : network.transfers()) {
        if (t.pieces.whole() && j.missing.contains(t.ref)) v.pieces_here += t.pieces_done;
    }
}

}  // namespace

bool goes_on_with(const training::recipe& r, const training::crew_view& crew,
                  const std::set<std::uint32_t>& slices) {
    if (crew.state == training::job_state::done || slices_max(r) == 1) return true;
    return crew.slices == 1 || (crew.slices > 1 && slices.size() == crew.slices);
}

job_view view_of(const held_job& j, const p2p::network& network) {
    job_view v;
    v.id = j.id;
    v.task = j.task;
    v.crew = j.crew ? j.crew->view() : view_without_crew(j);
    // The closing entry is no round of training.
    v.crew.round = std::min(v.crew.round, v.crew.rounds);
    v.crew.settled_round = std::min(v.crew.settled_round, v.crew.rounds);
    if (j.phase == job_phase::ended) {
        v.crew.state = j.ended_as;
        v.crew.reason_code = j.ended_code;
        v.crew.reason = j.ended_reason;
    }
    if (!j.no_room.empty() && is_open(j)) {
        v.crew.reason_code = j.no_room_code;
        v.crew.reason = j.no_room;
    }
    v.data_here = j.phase != job_phase::fetching;
    count_pieces(j, network, v);
    // A node speaks in the crew once it holds task and data, and follows the chronicle from then
    // on.
    v.data_copies = v.data_here ? 1 : 0;
    std::uint64_t elsewhere = 0;
    std::set<std::uint32_t> slices;
    for (const auto& m : v.crew.members) {
        if (!m.present || m.doing == "" || !network.linked(m.node)) continue;
        ++elsewhere;
        if (m.slice && m.slice->count == v.crew.slices) slices.insert(m.slice->index);
    }
    v.data_copies += elsewhere;
    v.safe_to_leave = elsewhere > 0 && goes_on_with(j.task->work, v.crew, slices);
    v.refusals = j.refusals;
    v.files = j.files;
    v.traffic = j.traffic;
    const auto left = v.crew.rounds - std::min(v.crew.round, v.crew.rounds);
    if (j.seconds_a_round > 0 && v.crew.state == training::job_state::running) {
        const auto tokens = training::cost_of(j.task->work).lane_tokens * j.task->work.train.lanes;
        v.tokens_per_second = static_cast<double>(tokens) / j.seconds_a_round;
        v.eta_seconds = static_cast<double>(left) * j.seconds_a_round;
    }
    return v;
}

}  // namespace tequio::node
