#include "node/io/job_workers.hpp"

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>

#include "base/ensure.hpp"
#include "node/core/errc.hpp"
#include "node/io/model_files.hpp"
#include "node/io/run_card.hpp"
#include "node/io/state_writer.hpp"
#include "node/worker/job_runner.hpp"
#include "training/model_folder.hpp"
#include "training/slices.hpp"

namespace tequio::node {
namespace {

namespace asio = boost::asio;

/// How long a failing worker process is left alone before the next try.
constexpr int starts_in_a_row_max = 5;
/// A worker that says that it took longer is not believed.
constexpr std::uint64_t computed_max_us = std::uint64_t{366} * 24 * 3600 * 1'000'000;

compute_kind kind_of(training::work_kind kind) {
    using training::work_kind;
    switch (kind) {
        case work_kind::prepare:
            return compute_kind::prepare;
        case work_kind::lane:
        case work_kind::check:
            return compute_kind::lane;
        case work_kind::validation:
        case work_kind::check_validation:
            return compute_kind::validation;
        case work_kind::sum:
            return compute_kind::sum;
        case work_kind::apply:
            return compute_kind::apply;
        case work_kind::sum_shard:
            return compute_kind::sum_shard;
        case work_kind::join:
            return compute_kind::join;
        case work_kind::load_state:
            return compute_kind::load;
        case work_kind::sum_lanes:
            return compute_kind::sum_lanes;
        case work_kind::add_sums:
            return compute_kind::add_sums;
        case work_kind::keep_state:  // the daemon writes it itself
            break;
    }
    base::ensure(false, "work that no worker is asked for");
    return compute_kind::prepare;
}

training::work_outcome outcome_of(const compute_outcome& from) {
    training::work_outcome out;
    out.state_after = from.state_after;
    out.blob = from.blob;
    if (from.divergence)
        out.divergence = training::diverged{from.divergence->step, from.divergence->tensor};
    out.loss = from.loss;
    out.trace = from.trace;
    out.sum = from.sum;
    out.counts = {from.saturated, from.flushed, from.at_top};
    out.tensors = from.tensors;
    return out;
}

training::run_card card_of(const training::task& task, const base::task_id& id,
                           const training::crew_view& facts) {
    training::run_card card;
    card.name = task.name;
    card.purpose = task.purpose;
    card.data_license = task.data_license;
    card.model_license = task.model_license;
    card.base_license = task.base_license;
    card.task = id;
    card.recipe = training::recipe_id_of(task.work);
    card.state = facts.state_digest;
    card.rounds_done = std::min(facts.round, facts.rounds);
    card.rounds = facts.rounds;
    card.tokens = facts.tokens;
    card.loss = facts.loss.value_or(0);
    card.validation_loss = facts.validation_loss;
    card.checked_share = facts.checked_share;
    for (const auto& m : facts.members) card.crew.emplace_back(m.node, m.lanes_done);
    card.recipe_text = training::recipe_text(task.work);
    return card;
}

/// Lanes are checked up to `settle` rounds after theirs; one more is the round being written.
std::uint32_t states_kept(const training::task& task) {
    return static_cast<std::uint32_t>(
        std::min<std::uint64_t>(task.trust.settle + 2, state_memory::kept_max));
}

}  // namespace

struct job_workers::one_job {
    base::task_id id;
    std::shared_ptr<const training::task> task;
    std::unique_ptr<compute_worker> worker;
    std::shared_ptr<state_memory> state;
    std::shared_ptr<state_writer> writer;        ///< of the item in hand
    std::optional<training::model_slice> slice;  ///< of which `state` is, or was last
    std::vector<unique_fd> blobs;                ///< of the recipe, in the order of `recipe_blobs`
    /// Watches the worker's descriptor, which the worker owns.
    std::unique_ptr<asio::posix::stream_descriptor> watched;
    bool waiting = false;  ///< for `watched` to become readable
    int openings = 0;      ///< asked for and not answered
    bool opened = false;
    bool ending = false;  ///< the worker was killed, and is not reaped yet
    bool closed = false;
    int starts_in_a_row = 0;
    std::optional<training::work_item> item;  ///< in hand, or waiting for the worker to be ready
    bool begun = false;
    /// What members of the item's team said before the worker had begun it.
    std::vector<std::pair<std::uint32_t, std::shared_ptr<const team_letter>>> early;
    std::uint64_t memory_bytes = 0;  ///< that the job needs, as its worker said
    base::duration cpu{};            ///< of the running worker, as last seen

    void unwatch() {
        if (watched) watched->release();
        watched.reset();
    }
};

job_workers::job_workers(asio::io_context& io, storage_thread& storage, blob_store& blobs,
                         options o, event_sink sink)
    : io_(io), storage_(storage), blobs_(blobs), options_(std::move(o)), sink_(std::move(sink)) {}

std::uint64_t job_workers::need_bytes(const training::task& task, training::model_slice slice,
                                      const options& o) {
    runner_options wanted;
    wanted.slice = slice.index;
    wanted.slice_count = slice.count;
    const auto kept = states_kept(task);
    return job_memory_bytes(task.work, o.threads, kept,
                            fitted(task.work, o.threads, kept, wanted, o.memory_bytes));
}

job_workers::~job_workers() {
    shut_down();
}

job_workers::one_job* job_workers::job_of(const base::task_id& task) {
    const auto it = jobs_.find(task);
    return it == jobs_.end() ? nullptr : it->second.get();
}

void job_workers::report(node_event e) {
    asio::post(io_, [this, e = std::move(e)]() mutable { sink_(std::move(e)); });
}

void job_workers::open(const open_compute& what) {
    if (jobs_.contains(what.task)) return;
    auto j = std::make_shared<one_job>();
    j->id = what.task;
    j->task = what.what;
    jobs_.emplace(what.task, std::move(j));
}

void job_workers::close(const base::task_id& task) {
    const auto it = jobs_.find(task);
    if (it == jobs_.end()) return;
    auto& j = *it->second;
    j.closed = true;
    j.unwatch();
    if (j.writer) j.writer->cancel();
    if (j.worker) cpu_of_the_dead_ += std::max(j.cpu, j.worker->cpu_used());
    j.worker.reset();
    if (j.item) answer(j, fail(errc::compute_failed, "the job was closed"));
    jobs_.erase(it);
}

void job_workers::shut_down() {
    for (auto& [id, j] : jobs_) {
        j->closed = true;
        j->unwatch();
        if (j->writer) j->writer->cancel();
        j->worker.reset();
    }
    jobs_.clear();
}

void job_workers::allow_threads(unsigned threads) {
    allowed_ = threads;
    for (auto& [id, j] : jobs_) {
        if (j->worker) j->worker->allow_threads(threads);
    }
    if (threads == 0) return;
    for (auto& [id, j] : jobs_) {
        if (j->item && !j->begun) prepare(*j);
    }
}

void job_workers::freeze() {
    for (auto& [id, j] : jobs_) {
        if (j->worker) j->worker->freeze();
    }
}

void job_workers::thaw() {
    for (auto& [id, j] : jobs_) {
        if (j->worker) j->worker->thaw();
    }
}

void job_workers::hand_back_memory() {
    for (auto& [id, j] : jobs_) {
        if (!j->worker) continue;
        if (j->begun) {
            j->worker->hand_back_memory();
        } else {
            end(*j);
        }
    }
}

void job_workers::end(one_job& j) {
    if (j.worker && j.worker->running()) {
        j.worker->kill();
        j.ending = true;
    }
    j.starts_in_a_row = 0;  // it did not end by itself
}

void job_workers::end_all() {
    for (auto& [id, j] : jobs_) end(*j);
}

bool job_workers::release_states() {
    bool some = false;
    for (auto& [id, j] : jobs_) {
        // A worker that lives knows them by their memory, and would go on with that.
        if (j->worker && j->worker->running() && !j->ending) continue;
        if (!std::exchange(j->state, nullptr)) continue;
        report(compute_states_lost{id});
        some = true;
    }
    return some;
}

std::uint64_t job_workers::held_bytes() const {
    std::uint64_t sum = 0;
    for (const auto& [id, j] : jobs_) {
        if (j->worker) sum += j->worker->private_bytes();
        if (j->state) sum += j->state->resident_bytes();
    }
    return sum;
}

void job_workers::limit(unsigned threads, std::uint64_t memory_bytes) {
    options_.threads = threads;
    options_.memory_bytes = memory_bytes;
}

job_workers::use job_workers::usage(bool with_resident) const {
    use out;
    out.cpu = cpu_of_the_dead_;
    for (const auto& [id, j] : jobs_) {
        if (j->item) out.busy = true;
        // Of one that has ended too, or it would be started to be ended again.
        out.memory_bytes = std::max(out.memory_bytes, j->memory_bytes);
        if (!j->worker || !j->worker->running()) continue;
        out.running = true;
        // Kept, so that the sum does not fall when the worker ends.
        j->cpu = std::max(j->cpu, j->worker->cpu_used());
        out.cpu += j->cpu;
        if (with_resident) out.resident_bytes += j->worker->resident_bytes();
    }
    return out;
}

std::vector<int> job_workers::processes() const {
    std::vector<int> out;
    for (const auto& [id, j] : jobs_) {
        if (j->worker && j->worker->running()) out.push_back(j->worker->process());
    }
    return out;
}

void job_workers::answer(one_job& j, base::result<training::work_outcome> outcome,
                         base::duration computed) {
    auto item = std::move(*j.item);
    j.item.reset();
    j.begun = false;
    j.early.clear();
    report(compute_answer{j.id, std::move(item), std::move(outcome), computed});
}

void job_workers::begin(const begin_compute& what) {
    auto* j = job_of(what.task);
    if (!j) {
        return report(compute_answer{what.task, what.item,
                                     fail(errc::compute_failed, "the job is not open here")});
    }
    j->item = what.item;
    j->begun = false;
    j->early.clear();
    if (what.item.kind == training::work_kind::keep_state) return write_state(*j);
    prepare(*j);
}

/// From the memory that the worker made it in; the item being in hand, nothing is computed there
/// meanwhile.
void job_workers::write_state(one_job& j) {
    const auto held = j.state ? j.state->held() : std::nullopt;
    if (!held || held->round != j.item->round || held->digest != j.item->state) {
        return answer(j, fail(errc::compute_failed, "another state is in memory"));
    }
    j.writer = std::make_shared<state_writer>(
        storage_, blobs_, j.task, j.state,
        [this, weak = std::weak_ptr(jobs_.at(j.id)), item = *j.item](auto written) {
            const auto self = weak.lock();
            if (!self || self->closed || !self->item || *self->item != item) return;
            self->writer = nullptr;
            if (!written)
                return answer(*self, fail(errc::compute_failed, written.error().message()));
            training::work_outcome out;
            out.blob = *written;
            answer(*self, std::move(out));
        });
    j.writer->start();
}

void job_workers::prepare(one_job& j) {
    if (j.writer) return;  // what is in hand needs no worker
    const auto give_up = [&](const base::error& e) {
        answer(j, fail(errc::compute_failed, e.message()));
    };
    const bool other_slice = j.item->kind == training::work_kind::prepare &&
                             j.item->slice != j.slice && j.state != nullptr;
    if (!j.state || other_slice) {
        j.state.reset();
        j.opened = false;
        if (const auto made = make_state(j); !made) return give_up(made.error());
    }
    if (j.blobs.empty()) {
        for (const auto& ref : training::recipe_blobs(j.task->work)) {
            auto file = blobs_.open_file(ref);
            if (!file) return j.blobs.clear(), give_up(file.error());
            j.blobs.push_back(std::move(*file));
        }
    }
    if (j.worker && j.worker->running()) {
        if (j.opened && !j.ending) return start_item(j);
        if (other_slice && !j.ending) open_in_worker(j);
        return;
    }
    // Opening a job hashes its data and its state: not while the machine is given back.
    if (allowed_ == 0) return;
    if (!j.worker) {
        compute_worker_options o;
        o.program = options_.program;
        o.group = options_.group;
        j.worker = std::make_unique<compute_worker>(std::move(o));
    }
    j.worker->limit(options_.threads, options_.memory_bytes);
    j.worker->allow_threads(allowed_);
    j.opened = false;
    j.openings = 0;
    if (++j.starts_in_a_row > starts_in_a_row_max) {
        j.starts_in_a_row = 0;
        return answer(j,
                      fail(errc::compute_failed, "the worker process keeps ending; see the log"));
    }
    if (const auto started = j.worker->start(); !started) return give_up(started.error());
    open_in_worker(j);
    watch(j);
}

base::result<void> job_workers::make_state(one_job& j) const {
    const auto& work = j.task->work;
    auto slice = j.item->slice;
    // A sum needs no state. The next `prepare` says which slice this node is to have; until then as
    // little as there is.
    const auto most = static_cast<std::uint32_t>(training::slices_max(work));
    const bool prepares = j.item->kind == training::work_kind::prepare;
    if (!prepares && !training::needs_state(j.item->kind)) {
        slice = j.slice.value_or(training::model_slice{most - 1, most});
    }
    if (slice.count == 0 || slice.count > most || slice.index >= slice.count) {
        return fail(errc::compute_failed, "the recipe's cuts allow no such slice");
    }
    const auto kept = states_kept(*j.task);
    TEQUIO_TRY(auto state,
               state_memory::create(training::recipe_id_of(work),
                                    state_shape_of(work, kept, slice.index, slice.count)));
    j.state = std::make_shared<state_memory>(std::move(state));
    j.slice = slice;
    return {};
}

void job_workers::open_in_worker(one_job& j) {
    ++j.openings;
    j.worker->open_job(training::recipe_text(j.task->work), j.blobs, *j.state, j.slice->index,
                       j.slice->count);
}

void job_workers::start_item(one_job& j) {
    const auto& item = *j.item;
    if (training::needs_state(item.kind)) {
        const auto held = j.state->find(item.round);
        if (!held || held->digest != item.state || item.slice != j.slice) {
            return answer(j, fail(errc::compute_failed, "the state of round " +
                                                            std::to_string(item.round.value) +
                                                            " is not in memory"));
        }
    }
    compute_item wanted;
    wanted.kind = kind_of(item.kind);
    wanted.round = item.round;
    if (wanted.kind == compute_kind::lane) wanted.lane = item.lane;
    wanted.inputs = static_cast<std::uint32_t>(item.inputs.size());
    wanted.first_unit = item.units.first;
    wanted.units = item.units.count;
    wanted.team = !item.team.empty();
    wanted.sums = item.sums;
    j.begun = true;
    j.worker->begin(
        wanted, [this, inputs = item.inputs](std::uint32_t i) -> base::result<worker_input_file> {
            TEQUIO_TRY(auto file, blobs_.open_pieces(inputs[i]));
            return worker_input_file{inputs[i], std::move(file)};
        });
    for (const auto& [from, letter] : std::exchange(j.early, {})) j.worker->hand_in(from, *letter);
}

void job_workers::deliver(const team_deliver& what) {
    auto* j = job_of(what.task);
    if (!j || !j->item || j->item->session != what.session) return;
    const auto bytes = base::byte_view(what.bytes).subspan(training::team_tag_bytes);
    const auto letter = team_letter::make(what.tag, bytes);
    // Without it the lane cannot end: as when the worker dies.
    if (!letter) return stop(what.task);
    if (j->begun) {
        j->worker->hand_in(what.from, **letter);
    } else {
        j->early.emplace_back(what.from, *letter);
    }
}

void job_workers::credit(const team_credit& what) {
    auto* j = job_of(what.task);
    if (!j || !j->item || j->item->session != what.session || !j->begun) return;
    j->worker->credit(what.by);
}

/// What the worker says to others of its team, or about them.
void job_workers::on_team_event(const one_job& j, worker_event& e) {
    if (!j.item) return;
    const auto note = [&](std::uint32_t member, team_note_kind what) {
        report(team_note{j.id, j.item->session, member, what});
    };
    if (auto* said = std::get_if<worker_team_said>(&e)) {
        const auto bytes = said->letter->bytes();
        report(team_said{j.id,
                         j.item->session,
                         said->to,
                         said->letter->tag(),
                         {std::move(said->letter), bytes}});
    } else if (const auto* taken = std::get_if<worker_team_taken>(&e)) {
        note(taken->from, team_note_kind::taken);
    } else if (const auto* waits = std::get_if<worker_team_waits>(&e)) {
        note(waits->member, team_note_kind::waits);
    } else if (const auto* blames = std::get_if<worker_team_blames>(&e)) {
        note(blames->member, team_note_kind::blames);
    }
}

void job_workers::watch(one_job& j) {
    if (!j.watched) {
        j.watched =
            std::make_unique<asio::posix::stream_descriptor>(io_, j.worker->native_handle());
    }
    // An event may start the worker again, which watches it too.
    if (std::exchange(j.waiting, true)) return;
    j.watched->async_wait(
        asio::posix::stream_descriptor::wait_read,
        [this, weak = std::weak_ptr(jobs_.at(j.id))](boost::system::error_code ec) {
            const auto self = weak.lock();
            if (ec || !self || self->closed) return;
            self->waiting = false;
            for (auto& e : self->worker->take_events()) on_event(*self, e);
            if (!self->closed && self->watched) watch(*self);
        });
}

void job_workers::on_event(one_job& j, worker_event& e) {
    if (auto* ready = std::get_if<worker_ready>(&e)) {
        ready_ = *ready;
    } else if (const auto* opened = std::get_if<worker_job_opened>(&e)) {
        // Only the last of several counts: the others are of a slice that was let go.
        j.opened = --j.openings == 0;
        j.memory_bytes = opened->memory_bytes;
        if (j.opened && j.item && !j.writer && !j.ending) start_item(j);
    } else if (auto* refused = std::get_if<worker_job_refused>(&e)) {
        if (j.item) answer(j, fail(errc::compute_failed, refused->reason));
        j.worker->stop_process();
    } else if (auto* progress = std::get_if<worker_progress>(&e)) {
        report(compute_progress{j.id, progress->steps, j.task->work.train.inner_steps});
    } else if (auto* done = std::get_if<worker_finished>(&e)) {
        j.starts_in_a_row = 0;
        finish(j, *done);
    } else if (auto* failed = std::get_if<worker_item_failed>(&e)) {
        if (j.item)
            answer(j, fail(errc::compute_failed, failed->stopped ? "stopped" : failed->reason));
    } else if (auto* exited = std::get_if<worker_exited>(&e)) {
        j.opened = j.ending = false;
        cpu_of_the_dead_ += std::exchange(j.cpu, {});
        if (!j.item) return;
        // The lane in hand is lost and nothing else: the state is in shared memory. Begin it again.
        if (j.begun) {
            answer(j, fail(errc::compute_failed, "the worker process ended: " + exited->reason));
        } else {
            prepare(j);
        }
    } else {
        on_team_event(j, e);
    }
}

void job_workers::finish(one_job& j, worker_finished& done) {
    if (!j.item) return;
    auto outcome = outcome_of(done.outcome);
    const base::duration computed =
        std::chrono::microseconds(std::min(done.outcome.computed_microseconds, computed_max_us));
    if (outcome.blob.size == 0) return answer(j, std::move(outcome), computed);
    auto item = std::move(*j.item);
    j.item.reset();
    j.begun = false;
    auto bytes = std::make_shared<memory_map>(std::move(done.blob));
    storage_.run([this, id = j.id, item = std::move(item), outcome = std::move(outcome),
                  bytes = std::move(bytes), computed]() mutable -> storage_thread::continuation {
        base::result<training::work_outcome> out = outcome;
        const auto ref = blobs_.put(bytes->bytes());
        if (!ref) {
            out = fail(errc::compute_failed, ref.error().message());
        } else if (*ref != outcome.blob) {
            out = fail(errc::compute_failed, "the worker named its result wrongly");
        }
        return [this, id, item = std::move(item), out = std::move(out), computed]() mutable {
            sink_(compute_answer{id, std::move(item), std::move(out), computed});
        };
    });
}

void job_workers::stop(const base::task_id& task) {
    auto* j = job_of(task);
    if (!j || !j->item) return;
    if (j->writer) {
        std::exchange(j->writer, nullptr)->cancel();
        return answer(*j, fail(errc::compute_failed, "stopped"));
    }
    if (j->begun) {
        j->worker->stop_item();
    } else {
        answer(*j, fail(errc::compute_failed, "stopped"));
    }
}

void job_workers::export_final(const export_model& what) {
    auto* j = job_of(what.task);
    const auto missing = [&](std::string why) {
        report(model_exported{what.task, {}, std::move(why)});
    };
    if (!j || !j->state) return missing("no state is in memory");
    if (j->slice != what.slice) return missing("another slice of the state is in memory");
    const auto held = j->state->held();
    if (!held || held->digest != what.state) return missing("another state is in memory");
    const auto parameters = j->state->view().parameters;
    auto copy = std::make_shared<std::vector<float>>(parameters.begin(), parameters.end());
    storage_.run([this, task = j->task, what, copy]() -> storage_thread::continuation {
        model_exported out{what.task, {}, {}};
        if (const auto written = write_model(*task, what, *copy, out.files); !written) {
            out.files.clear();
            out.failure = written.error().message();
        }
        return [this, out = std::move(out)]() mutable { sink_(std::move(out)); };
    });
}

/// On the storage thread. `files`: the folder's, once the last slice is written.
base::result<void> job_workers::write_model(const training::task& task, const export_model& what,
                                            std::span<const float> parameters,
                                            std::map<std::string, base::blob_ref>& files) {
    const auto& work = task.work;
    const auto plan = training::plan_weights(work.model);
    TEQUIO_TRY(const auto path, blobs_.making(what.task.hex(), plan.size));
    TEQUIO_CHECK(write_weights(path, plan,
                               training::layout_of_slice(work, what.slice.index, what.slice.count),
                               parameters));
    if (what.slice.index + 1 < what.slice.count) return {};
    auto card = card_of(task, what.task, what.facts);
    // Weights without them are better than none.
    if (const auto data = blobs_.open_file(work.data.tokens)) {
        (void)add_input_scales(card, work, data->get());
    }
    for (const auto& [name, bytes] :
         training::write_model_texts(work.model, card, task.companion.has_value())) {
        TEQUIO_TRY(files[name], blobs_.put(bytes));
    }
    if (task.companion) files[training::tokenizer_file_name] = *task.companion;
    TEQUIO_TRY(files[training::weights_file_name], blobs_.put_file(path));
    return {};
}

}  // namespace tequio::node
