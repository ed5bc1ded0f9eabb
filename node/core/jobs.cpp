// Jobs: from a task to its crew, and what the crew wants of this machine.

#include <algorithm>

#include "base/ensure.hpp"
#include "base/text.hpp"
#include "node/core/node_state.hpp"

namespace tequio::node {
namespace {

constexpr auto data_retry_after = std::chrono::seconds(2);

std::string round_key(std::uint64_t round) {
    base::byte_vector big_endian;
    for (int shift = 56; shift >= 0; shift -= 8) {
        big_endian.push_back(static_cast<std::uint8_t>(round >> shift));
    }
    return base::to_hex(big_endian);
}

std::string text_of(const training::work_item& item) {
    using training::work_kind;
    const auto of_round = [&](std::string_view what) {
        return std::string(what) + " of round " + std::to_string(item.round.value);
    };
    const auto lane = [&](std::string_view what) {
        return of_round(std::string(what) + " " + std::to_string(item.lane.value));
    };
    switch (item.kind) {
        case work_kind::prepare:
            return "the first state";
        case work_kind::lane:
            return lane("lane");
        case work_kind::check:
            return lane("check");
        case work_kind::validation:
            return of_round("validation");
        case work_kind::check_validation:
            return of_round("check validation");
        case work_kind::sum:
            return of_round("sum");
        case work_kind::apply:
            return of_round("apply");
        case work_kind::sum_shard:
            return of_round("part");
        case work_kind::join:
            return of_round("join");
        case work_kind::sum_lanes:
            return of_round("sums");
        case work_kind::add_sums:
            return of_round("part of sums");
        case work_kind::keep_state:
            return of_round("writing the state");
        case work_kind::load_state:
            return of_round("reading the state");
    }
    return "work";
}

}  // namespace

held_job* node_logic::state::job_of(const base::task_id& id) {
    const auto it = jobs_.find(id);
    return it == jobs_.end() ? nullptr : &it->second;
}

std::vector<base::node_id> node_logic::state::linked_nodes() const {
    std::vector<base::node_id> out;
    for (const auto& peer : network_.peers()) out.push_back(peer.node);
    return out;
}

held_job& node_logic::state::add_job(training::task task, std::string note,
                                     base::unix_time accepted) {
    const auto id = training::task_id_of(task);
    auto& j = jobs_[id];
    j.id = id;
    j.task = std::make_shared<const training::task>(std::move(task));
    j.note = std::move(note);
    j.accepted_at = accepted;
    const auto blobs = training::task_blobs(*j.task);
    j.missing.insert(blobs.begin(), blobs.end());
    for (const auto& ref : blobs) blob_of(j, ref);
    j.round_at = at_.now;
    return j;
}

void node_logic::state::restore_jobs() {
    const auto memory = std::move(memory_);
    memory_.clear();
    restore_forgotten(memory);
    restore_standings(memory);
    std::string last;
    for (const auto& [place, value] : memory) {
        if (place.first.starts_with("job/") && place.first != last) {
            last = place.first;
            restore_job(last.substr(4), memory);
        }
    }
}

void node_logic::state::restore_job(const std::string& hex, const node_memory& memory) {
    const auto value = [&](const std::string& key) -> const std::string* {
        const auto it = memory.find({"job/" + hex, key});
        return it == memory.end() ? nullptr : &it->second;
    };
    const auto* note = value("note");
    if (const auto id = base::parse_id<base::task_id>(hex); id && forgotten_.contains(*id)) {
        return forget_memory(hex);  // the node died in the middle of it
    }
    auto task = note ? training::parse_task(*note) : fail(errc::not_found, "its note is missing");
    if (!task) {
        say(log_level::warn, "job " + hex.substr(0, 8) + " is left out: " + task.error().message());
        return;
    }
    const auto* accepted = value("accepted");
    auto& j =
        add_job(std::move(*task), *note, {accepted ? base::parse_i64(*accepted).value_or(0) : 0});
    const base::byte_vector bytes(note->begin(), note->end());
    j.note_id = p2p::note_id_of(static_cast<std::uint8_t>(note_kind::task), bytes);
    j.left = value("left") != nullptr;
    j.own = value("own") != nullptr;
    if (const auto* traffic = value("traffic")) {
        if (const auto kept = parse_traffic(*traffic)) j.traffic = j.traffic_kept = *kept;
    }
    if (const auto* ended = value("ended")) {
        if (const auto at = base::parse_i64(*ended)) j.ended_at = base::unix_time{*at};
    }
    for (auto it = memory.lower_bound({"job/" + hex, "file:"});
         it != memory.end() && it->first.first == "job/" + hex &&
         it->first.second.starts_with("file:");
         ++it) {
        if (const auto ref = base::parse_blob_ref(it->second))
            j.files[it->first.second.substr(5)] = *ref;
    }
    restore_checked(j, memory);
    (void)tell_network(p2p::publish_note{static_cast<std::uint8_t>(note_kind::task), bytes});
    training::crew_memory kept;
    for (auto it = memory.lower_bound({"fact/" + hex, ""});
         it != memory.end() && it->first.first == "fact/" + hex; ++it) {
        kept.facts.push_back({it->first.second, {it->second.begin(), it->second.end()}});
    }
    for (auto it = memory.lower_bound({"entry/" + hex, ""});
         it != memory.end() && it->first.first == "entry/" + hex; ++it) {
        auto entry = training::parse_chronicle_entry(it->second);
        // A gap ends what can be used; the rest is fetched from others.
        if (!entry || entry->round.value != kept.entries.size()) break;
        if (!entry->closes()) blob_of(j, entry->mean);
        kept.entries.push_back(std::move(*entry));
    }
    if (const auto* cancelled = value("cancelled")) {
        const auto parsed = base::parse_signed_note(*cancelled);
        const auto c = parsed ? training::parse_cancellation(*parsed)
                              : base::result<training::cancellation>(parsed.error());
        if (c) (void)apply_cancellation(*c, *cancelled);
        return;
    }
    // A crew's memory means that the data was whole once, so it goes on at once; the blob store is
    // asked all the same, and what was lost since is fetched again.
    if (!kept.facts.empty() || !kept.entries.empty()) start_crew(j, std::move(kept));
    if (is_open(j)) {
        look_for_data(j);
    } else {
        j.missing.clear();
    }
}

void node_logic::state::restore_standings(const node_memory& memory) {
    const std::string bucket(standings::bucket);
    for (auto it = memory.lower_bound({bucket, ""});
         it != memory.end() && it->first.first == bucket; ++it) {
        // Without it a node is a newcomer again, which costs no more than a few checks.
        if (const auto taken = standings_.restore(it->first.second, it->second); !taken) {
            say(log_level::warn, taken.error().message());
        }
    }
}

void node_logic::state::look_for_data(held_job& j) {
    j.data_retry = base::time_point::max();
    for (const auto& ref : j.missing) out_->push_back(look_up_blob{ref});
}

void node_logic::state::start_crew(held_job& j, training::crew_memory memory) {
    j.phase = job_phase::crewed;
    auto config = crew_config_of(*j.task, j.id, self_, config_);
    config.standings = standings_.known(at_.wall);
    j.crew.emplace(std::move(config), std::move(memory), rng_.split("crew " + j.id.hex()));
    out_->push_back(open_compute{j.id, j.task});
    for (const auto& [node, certificate] : certificates_) {
        tell_crew(j, training::member_up{node, certificate});
    }
    if (draining_) tell_crew(j, training::crew_command::drain);
    if (j.left || released()) tell_standing(j);
    tell_crew(j, training::crew_tick{});
    links_at_ = at_.now;
    // A crew says once that it is done, and the node may have died before the model was made.
    const auto now = j.crew->view();
    const bool over =
        now.state == training::job_state::done || now.state == training::job_state::failed;
    if (over && !j.exporting) crew_finished(j, {now.state, now.reason});
}

void node_logic::state::tell_crews(const training::crew_event& e) {
    for (auto& [id, j] : jobs_) {
        if (j.crew) tell_crew(j, e);
    }
}

void node_logic::state::tell_crew(held_job& j, const training::crew_event& e) {
    if (!j.crew) return;
    std::vector<training::crew_effect> effects;
    if (const auto done = j.crew->handle(at_.now, e, effects); !done) {
        say(log_level::debug, "job " + j.id.brief() + ": " + done.error().message());
    }
    for (auto& effect : effects) carry_out(j, effect);
}

void node_logic::state::carry_out(held_job& j, training::crew_effect& effect) {
    if (auto* send_to = std::get_if<training::send_crew>(&effect)) {
        base::byte_vector bytes(j.id.bytes.begin(), j.id.bytes.end());
        base::byte_writer(bytes).raw(send_to->bytes);
        j.traffic.sent += bytes.size();
        if (!network_.linked(send_to->to) && links_.spoke(at_.now, send_to->to)) {
            links_at_ = at_.now;
        }
        send(send_to->to, topic::crew, std::move(bytes));
    } else if (auto* begin = std::get_if<training::begin_work>(&effect)) {
        j.waiting_work = std::move(begin->item);
    } else if (std::holds_alternative<training::stop_work>(effect)) {
        j.waiting_work.reset();
        if (computing_ && computing_->task == j.id && !computing_->stopped) {
            computing_->stopped = true;
            say_work("breaks off ");
            out_->push_back(stop_compute{j.id});
        }
    } else if (auto* wanted = std::get_if<training::fetch_blob>(&effect)) {
        fetch(j, *wanted);
    } else if (auto* drop = std::get_if<training::drop_blob>(&effect)) {
        forget_blob(j, drop->ref);
    } else if (auto* put = std::get_if<training::put_blob>(&effect)) {
        blob_of(j, put->ref);
        out_->push_back(put_blob{put->ref, std::move(put->bytes)});
    } else if (auto* fact = std::get_if<training::store_fact>(&effect)) {
        remember("fact/" + j.id.hex(), fact->key, std::string(base::as_text(fact->bytes)));
    } else if (auto* forget = std::get_if<training::forget_fact>(&effect)) {
        remember("fact/" + j.id.hex(), forget->key, std::nullopt);
    } else if (auto* entry = std::get_if<training::store_entry>(&effect)) {
        remember("entry/" + j.id.hex(), round_key(entry->entry.round.value),
                 training::chronicle_entry_text(entry->entry));
    } else if (auto* settled = std::get_if<training::round_settled>(&effect)) {
        keep_traffic(j);
        say(log_level::debug, "job " + j.id.brief() + ": round " +
                                  std::to_string(settled->round.value) + " is settled, " +
                                  std::to_string(settled->lanes_checked) + " lanes checked, " +
                                  std::to_string(settled->lanes_unchecked) + " not");
    } else if (auto* recorded = std::get_if<training::check_recorded>(&effect)) {
        record_check(j, *recorded);
    } else if (auto* news = std::get_if<training::standing_changed>(&effect)) {
        for (auto& [key, text] : standings_.add(*news, at_.wall)) {
            remember(std::string(standings::bucket), key, std::move(text));
        }
    } else if (auto* finished = std::get_if<training::job_finished>(&effect)) {
        crew_finished(j, *finished);
    } else {
        observe_speed(j, at_.now);
    }
}

void node_logic::state::fetch(held_job& j, const training::fetch_blob& wanted) {
    blob_of(j, wanted.ref);
    auto& want = j.wanted[{wanted.ref, wanted.pieces}];
    want.holders = wanted.holders;
    want.deliver = want.deliver || wanted.deliver;
    out_->push_back(look_up_blob{wanted.ref});
}

std::vector<base::piece_run> node_logic::state::runs_of(const held_job& j,
                                                        const base::blob_ref& ref) {
    std::vector<base::piece_run> out;
    for (auto it = j.wanted.lower_bound({ref, {}}); it != j.wanted.end() && it->first.first == ref;
         ++it) {
        out.push_back(it->first.second);
    }
    return out;
}

void node_logic::state::stop_fetching(const base::blob_ref& ref, const base::piece_run& pieces) {
    if (!runs_wanted(ref).contains(pieces)) (void)tell_network(p2p::cancel_fetch{ref, pieces});
}

void node_logic::state::forget_blob(held_job& j, const base::blob_ref& ref) {
    std::erase_if(j.wanted, [&](const auto& w) { return w.first.first == ref; });
    // Two jobs with one recipe share their blobs: what the other may still need stays.
    if (auto* twin = twin_of(j)) {
        twin->dropped_by_twin.insert(ref);
        return;
    }
    job_of_blob_.erase(ref);
    (void)tell_network(p2p::cancel_fetch{ref});
    out_->push_back(drop_blob{ref});
}

held_job* node_logic::state::twin_of(const held_job& j) {
    const auto recipe = training::recipe_id_of(j.task->work);
    for (auto& [id, other] : jobs_) {
        // One that is over needs the means alone, until its model is made.
        const bool needs = is_open(other) || other.exporting;
        if (id != j.id && needs && training::recipe_id_of(other.task->work) == recipe)
            return &other;
    }
    return nullptr;
}

void node_logic::state::drop_for_twins(held_job& j) {
    if (j.dropped_by_twin.empty() || is_open(j) || j.exporting) return;
    for (const auto& ref : std::exchange(j.dropped_by_twin, {})) forget_blob(j, ref);
}

void node_logic::state::blob_is_gone(const base::blob_ref& ref, const std::string& reason) {
    for (const auto& pieces : runs_wanted(ref)) run_is_gone(ref, pieces, reason);
}

void node_logic::state::run_is_gone(const base::blob_ref& ref, const base::piece_run& pieces,
                                    const std::string& reason) {
    for (auto& [id, j] : jobs_) {
        if (pieces.whole() && j.missing.contains(ref)) j.data_retry = at_.now + data_retry_after;
        give_up(j, {ref, pieces}, reason);
    }
}

void node_logic::state::give_up(held_job& j, const run_of_blob& what, const std::string& reason) {
    if (j.wanted.erase(what) == 0) return;
    const auto& [ref, pieces] = what;
    stop_fetching(ref, pieces);
    tell_crew(j, training::blob_failed{ref, reason, pieces});
    if (pieces.whole()) mean_is_gone(j, ref, reason);
}

void node_logic::state::end_job(held_job& j, training::job_state as, std::string code,
                                std::string reason) {
    if (j.phase == job_phase::ended) return;
    j.phase = job_phase::ended;
    j.ended_as = as;
    j.ended_code = std::move(code);
    j.ended_reason = std::move(reason);
    note_end(j);
    say(log_level::info, "job " + j.id.brief() + " ended: " + j.ended_reason);
    if (j.crew) tell_crew(j, training::crew_command::cancel);
    j.waiting_work.reset();
    out_->push_back(close_compute{j.id});
    stop_fetching_data(j);
}

void node_logic::state::stop_fetching_data(held_job& j) {
    j.data_retry = base::time_point::max();
    for (const auto& ref : std::exchange(j.missing, {})) stop_fetching(ref, {});
}

/// With these lines of all nodes, and their governors', `tests/support/idle_time.pl` tells where a
/// job's time went.
void node_logic::state::say_work(const std::string& verb) {
    say(log_level::debug,
        "job " + computing_->task.brief() + " " + verb + text_of(computing_->item));
}

void node_logic::state::begin_waiting_work() {
    if (computing_ || released()) return;
    held_job* next = nullptr;
    for (auto& [id, j] : jobs_) {
        if (!j.waiting_work) continue;
        // Round-robin over submitters; of one submitter's jobs the oldest first.
        const auto rank = [&](const held_job& a) {
            return std::make_tuple(served_[a.task->submitter], a.task->created, a.id);
        };
        if (!next || rank(j) < rank(*next)) next = &j;
    }
    if (!next) return;
    ++served_[next->task->submitter];
    computing_ = in_flight{next->id, std::move(*next->waiting_work), false};
    next->waiting_work.reset();
    if (const auto begun = begin_in_hand(); !begun) {
        const auto item = std::move(computing_->item);
        computing_.reset();
        tell_crew(*next, training::work_failed{item, begun.error().message()});
    }
}

base::result<void> node_logic::state::begin_in_hand() {
    if (computing_->item.kind == training::work_kind::keep_state) {
        const auto& task = *jobs_.at(computing_->task).task;
        // Nobody was promised that states are kept: they take what is left over.
        if (const auto fits = has_room(full_state_bytes_of(task), task.submitter); !fits) {
            say(log_level::info, "job " + computing_->task.brief() + ": the state of round " +
                                     std::to_string(computing_->item.round.value) +
                                     " is not kept: " + fits.error().message());
            return fits;
        }
    }
    if (!computing_->item.team.empty()) {
        team_effects wanted;
        TEQUIO_CHECK(team_.begin(at_.now, computing_->task, jobs_.at(computing_->task).task->work,
                                 computing_->item, wanted));
        obey(std::move(wanted));
    }
    if (computing_->item.kind == training::work_kind::load_state) {
        say(log_level::info, "job " + computing_->task.brief() +
                                 " goes on from the state of round " +
                                 std::to_string(computing_->item.round.value));
    }
    say_work("begins ");
    out_->push_back(begin_compute{computing_->task, computing_->item});
    return {};
}

}  // namespace tequio::node
