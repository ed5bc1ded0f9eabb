#include "node/worker/job_replay.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/ensure.hpp"
#include "base/sha256.hpp"
#include "training/contribution.hpp"
#include "training/errc.hpp"

namespace tequio::node {
namespace {

using training::chronicle_entry;

constexpr int wait_ms = 200;

base::result<unique_fd> lock_folder(const std::filesystem::path& folder) {
    TEQUIO_CHECK(make_private_folder(folder));
    const auto path = folder / "lock";
    unique_fd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    if (!fd) return io_error(path, "open", errno);
    if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
        return base::fail(base::errc::io_failure,
                          folder.string() +
                              ": another replay of this recipe is at work here; wait for it, or "
                              "give this one another --work-dir");
    }
    return fd;
}

/// Writes `bytes` and their SHA-256. Not synced: what a crash leaves half-written does not read
/// back.
base::result<void> write_checked(const std::filesystem::path& path, base::byte_view bytes) {
    const unique_fd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    if (!fd) return io_error(path, "create", errno);
    const auto digest = base::sha256(bytes);
    for (auto part : {bytes, digest.view()}) {
        while (!part.empty()) {
            const auto size = ::write(fd.get(), part.data(), part.size());
            if (size < 0 && errno != EINTR) return io_error(path, "write", errno);
            if (size > 0) part = part.subspan(static_cast<std::size_t>(size));
        }
    }
    return {};
}

/// A file that `write_checked` wrote; nullopt when there is none or it is damaged.
class checked_file {
public:
    static std::optional<checked_file> open(const std::filesystem::path& path) {
        auto map = mapped_file::open(path);
        constexpr std::size_t digest_bytes = sizeof(base::digest::bytes);
        if (!map || map->bytes().size() < digest_bytes) return std::nullopt;
        const auto all = map->bytes();
        const auto body = all.first(all.size() - digest_bytes);
        const auto expected = base::sha256(body);
        if (!std::equal(expected.bytes.begin(), expected.bytes.end(), all.end() - digest_bytes)) {
            return std::nullopt;
        }
        return checked_file(std::move(*map), body);
    }
    base::byte_view bytes() const { return body_; }

private:
    checked_file(mapped_file map, base::byte_view body) : map_(std::move(map)), body_(body) {}
    mapped_file map_;
    base::byte_view body_;
};

/// What one item came to, from the replay's point of view.
struct attempt {
    std::optional<worker_finished> finished;
    bool died = false;
};

}  // namespace

struct job_replay::parts {
    training::recipe recipe;
    std::string recipe_text;
    training::state_layout layout;
    std::vector<unique_fd> blobs;
    replay_options options;
    unique_fd lock;
    compute_worker worker;
    std::deque<worker_event> unread;
    state_memory state;
    std::vector<chronicle_entry> entries;
    replay_progress progress;
    std::uint64_t tokens_before = 0;  ///< of finished items
    int deaths = 0;                   ///< since the last finished item
    coded_results coded;

    parts(const training::recipe& r, std::vector<unique_fd> recipe_blobs, replay_options o,
          unique_fd lock_file, state_memory memory)
        : recipe(r),
          recipe_text(training::recipe_text(r)),
          layout(training::layout_of(r.model)),
          blobs(std::move(recipe_blobs)),
          options(std::move(o)),
          lock(std::move(lock_file)),
          worker(options.worker),
          state(std::move(memory)) {}

    std::filesystem::path file(const std::string& name) const { return options.folder / name; }
    std::filesystem::path entry_file(std::uint64_t round) const {
        return file("entry-" + std::to_string(round));
    }
    std::filesystem::path state_file(std::uint64_t round) const {
        return file("state-" + std::to_string(round));
    }
    std::filesystem::path lane_file(std::uint64_t round, std::uint64_t lane) const {
        return file("lane-" + std::to_string(round) + "-" + std::to_string(lane));
    }

    base::result<void> start_worker();
    base::result<void> take_up_folder();
    bool load_state(const chronicle_entry& last);
    base::result<worker_finished> compute(const compute_item& item, const open_input& inputs = {});
    base::result<attempt> try_once(const compute_item& item, const open_input& inputs);
    std::optional<worker_event> next_event();
    void collect_events();
    base::result<void> ensure_worker();
    base::result<std::optional<worker_exited>> open_job();
    base::result<void> count_death(const worker_exited& end);
    base::result<void> replace_worker(const worker_exited& end);
    base::result<base::blob_ref> compute_lane(std::uint64_t lane);
    base::result<worker_input_file> open_lane(std::uint64_t lane, const base::blob_ref& blob) const;
    base::result<void> compute_lanes(chronicle_entry& entry);
    base::result<void> finish_round(chronicle_entry& entry);
    void remove_lanes(std::uint64_t round);
    void remove_states_but(std::uint64_t round);
};

/// Starts workers until one has the job open.
base::result<void> job_replay::parts::start_worker() {
    while (true) {
        TEQUIO_CHECK(worker.start());
        TEQUIO_TRY(const auto end, open_job());
        if (!end) return {};
        TEQUIO_CHECK(count_death(*end));
    }
}

/// The next thing that the worker said; nullopt after a while of silence. Nothing is dropped: an
/// end can stand behind the answer that a caller waits for.
std::optional<worker_event> job_replay::parts::next_event() {
    if (unread.empty()) {
        worker.wait(wait_ms);
        collect_events();
    }
    if (unread.empty()) return std::nullopt;
    auto event = std::move(unread.front());
    unread.pop_front();
    return event;
}

void job_replay::parts::collect_events() {
    for (auto& event : worker.take_events()) unread.push_back(std::move(event));
}

/// Waits for a fresh worker to open the job; its end, if it came to that.
base::result<std::optional<worker_exited>> job_replay::parts::open_job() {
    while (true) {
        if (options.keep_going && !options.keep_going(progress)) {
            return base::fail(training::errc::stopped, "stopped");
        }
        auto event = next_event();
        if (!event) continue;
        if (const auto* ready = std::get_if<worker_ready>(&*event)) {
            if (options.on_ready) options.on_ready(*ready);
            worker.open_job(recipe_text, blobs, state);
        } else if (const auto* refused = std::get_if<worker_job_refused>(&*event)) {
            return base::fail(training::errc::refused_by_policy, refused->reason);
        } else if (auto* end = std::get_if<worker_exited>(&*event)) {
            return std::optional(std::move(*end));
        } else if (std::holds_alternative<worker_job_opened>(*event)) {
            return std::optional<worker_exited>();
        }
    }
}

/// A killed worker is worth another try; one that gave up by itself has said why on stderr.
base::result<void> job_replay::parts::count_death(const worker_exited& end) {
    if (end.killed && ++deaths < options.deaths_max) return {};
    std::string what = "the worker process failed";
    if (deaths > 1) {
        what += " without finishing anything, attempts: ";
        what += std::to_string(deaths);
    }
    return base::fail(base::errc::io_failure, what + "; " + end.reason);
}

base::result<void> job_replay::parts::replace_worker(const worker_exited& end) {
    TEQUIO_CHECK(count_death(end));
    return start_worker();
}

/// Runs one item on the worker that is there.
base::result<attempt> job_replay::parts::try_once(const compute_item& item,
                                                  const open_input& inputs) {
    attempt out;
    worker.begin(item, inputs);
    bool stopping = false;
    while (true) {
        if (!stopping && options.keep_going && !options.keep_going(progress)) {
            worker.stop_item();
            stopping = true;
        }
        auto event = next_event();
        if (!event) continue;
        if (auto* finished = std::get_if<worker_finished>(&*event)) {
            out.finished = std::move(*finished);
            return out;
        }
        if (const auto* at = std::get_if<worker_progress>(&*event)) {
            progress.steps_done = at->steps;
            progress.tokens = tokens_before + at->tokens;
        } else if (const auto* failed = std::get_if<worker_item_failed>(&*event)) {
            return base::fail(failed->stopped ? training::errc::stopped : training::errc::bad_data,
                              failed->reason);
        } else if (const auto* end = std::get_if<worker_exited>(&*event)) {
            if (stopping) return base::fail(training::errc::stopped, "stopped");
            TEQUIO_CHECK(replace_worker(*end));
            out.died = true;
            return out;
        }
    }
}

/// Notices a worker that died between two items.
base::result<void> job_replay::parts::ensure_worker() {
    collect_events();
    while (!unread.empty()) {
        const auto event = std::move(unread.front());
        unread.pop_front();
        if (const auto* end = std::get_if<worker_exited>(&event)) {
            TEQUIO_CHECK(replace_worker(*end));
        }
    }
    return {};
}

/// Runs one item, on as many workers as it takes.
base::result<worker_finished> job_replay::parts::compute(const compute_item& item,
                                                         const open_input& inputs) {
    while (true) {
        TEQUIO_CHECK(ensure_worker());
        // The new state may have been committed just before the worker died.
        const auto held = state.held();
        if (item.kind == compute_kind::prepare && held) break;
        if (item.kind == compute_kind::apply && held && held->round == item.round.next()) break;
        TEQUIO_TRY(auto done, try_once(item, inputs));
        if (done.died) continue;
        deaths = 0;
        return std::move(*done.finished);
    }
    worker_finished out;
    out.outcome.state_after = state.held()->digest;
    return out;
}

/// Reads finished entries and the newest state among those saved; without one, begins anew.
base::result<void> job_replay::parts::take_up_folder() {
    const auto text = base::as_bytes(recipe_text);
    const auto owner = checked_file::open(file("recipe"));
    if (owner &&
        !std::equal(text.begin(), text.end(), owner->bytes().begin(), owner->bytes().end())) {
        return base::fail(base::errc::io_failure,
                          options.folder.string() +
                              ": holds the replay of another recipe; give another --work-dir");
    }
    if (!owner) TEQUIO_CHECK(write_checked(file("recipe"), text));
    std::vector<chronicle_entry> found;
    while (true) {
        const auto file = checked_file::open(entry_file(found.size()));
        if (!file) break;
        auto entry = training::parse_chronicle_entry(base::as_text(file->bytes()));
        const auto* before = found.empty() ? nullptr : &found.back();
        if (!entry || !training::chronicle_entry_follows(before, *entry)) break;
        if (entry->closes()) break;
        found.push_back(std::move(*entry));
    }
    while (!found.empty() && !load_state(found.back())) found.pop_back();
    entries = std::move(found);
    return {};
}

/// Puts the state after `last` into the state memory; false when it is not in the folder or is not
/// what the entry says.
bool job_replay::parts::load_state(const chronicle_entry& last) {
    const auto file = checked_file::open(state_file(last.round.value + 1));
    if (!file) return false;
    const auto next = state.next();
    auto bytes = file->bytes();
    const auto array = next.parameters.size_bytes();
    if (bytes.size() != (1 + training::optimizer_arrays(recipe.train)) * array) return false;
    for (const auto to : {next.parameters, next.momentum, next.second}) {
        std::copy_n(bytes.data(), to.size_bytes(), reinterpret_cast<std::uint8_t*>(to.data()));
        bytes = bytes.subspan(to.size_bytes());
    }
    if (training::state_digest(layout, next) != last.state_after) return false;
    state.commit({last.round.next(), last.state_after});
    return true;
}

base::result<base::blob_ref> job_replay::parts::compute_lane(std::uint64_t lane) {
    const auto round = state.held()->round;
    compute_item item;
    item.kind = compute_kind::lane;
    item.round = round;
    item.lane = {lane};
    TEQUIO_TRY(const auto done, compute(item));
    tokens_before += training::lane_tokens(recipe);
    progress.tokens = tokens_before;
    if (const auto& lost = done.outcome.divergence) {
        return base::fail(
            training::errc::not_finite,
            "the job diverges in round " + std::to_string(round.value) + ", lane " +
                std::to_string(lane) + ", step " + std::to_string(lost->step) + ": \"" +
                lost->tensor +
                "\" is not finite; a smaller train.inner.lr or train.outer.lr may help");
    }
    TEQUIO_CHECK(write_checked(lane_file(round.value, lane), done.blob.bytes()));
    coded.lanes.add({done.outcome.saturated, done.outcome.flushed, done.outcome.at_top});
    return done.outcome.blob;
}

base::result<worker_input_file> job_replay::parts::open_lane(std::uint64_t lane,
                                                             const base::blob_ref& blob) const {
    const auto path = lane_file(state.held()->round.value, lane);
    unique_fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd) return io_error(path, "open", errno);
    return worker_input_file{blob, std::move(fd)};
}

base::result<void> job_replay::parts::compute_lanes(chronicle_entry& entry) {
    std::vector<base::blob_ref> contributions;
    for (std::uint64_t lane = 0; lane < recipe.train.lanes; ++lane) {
        progress.lanes_done = lane;
        progress.steps_done = 0;
        // A lane of an interrupted run counts if it is one that this recipe can have made.
        const auto kept = checked_file::open(lane_file(entry.round.value, lane));
        if (kept && training::check_contribution(training::contribution_kind::lane, recipe, layout,
                                                 kept->bytes())) {
            contributions.push_back(base::blob_ref_of(kept->bytes()));
            coded.lanes.add(training::counts_of(
                training::shape_of(training::contribution_kind::lane, recipe, layout),
                kept->bytes()));
        } else {
            TEQUIO_TRY(const auto blob, compute_lane(lane));
            contributions.push_back(blob);
        }
        entry.contributions.push_back(contributions.back().root);
    }
    progress.lanes_done = recipe.train.lanes;
    compute_item item;
    item.kind = compute_kind::sum;
    item.round = entry.round;
    item.inputs = static_cast<std::uint32_t>(recipe.train.lanes);
    TEQUIO_TRY(auto sum, compute(item, [&](std::uint32_t lane) {
                   return open_lane(lane, contributions[lane]);
               }));
    entry.sum = sum.outcome.sum;
    entry.mean = sum.outcome.blob;
    entry.loss = sum.outcome.loss;
    coded.means.add({sum.outcome.saturated, sum.outcome.flushed, sum.outcome.at_top});
    item.kind = compute_kind::apply;
    item.inputs = 1;
    TEQUIO_TRY(const auto applied,
               compute(item, [&](std::uint32_t) -> base::result<worker_input_file> {
                   unique_fd fd(::fcntl(sum.file.get(), F_DUPFD_CLOEXEC, 0));
                   return worker_input_file{entry.mean, std::move(fd)};
               }));
    entry.state_after = applied.outcome.state_after;
    return {};
}

base::result<void> job_replay::parts::finish_round(chronicle_entry& entry) {
    if (recipe.data.validation_tokens > 0) {
        compute_item item;
        item.kind = compute_kind::validation;
        item.round = entry.round;
        TEQUIO_TRY(const auto done, compute(item));
        if (done.outcome.divergence) {
            return base::fail(training::errc::not_finite,
                              "the job diverges: the validation loss of round " +
                                  std::to_string(entry.round.value) + " is not finite");
        }
        entry.validation_loss = done.outcome.loss;
    }
    if (entry.round.value >= recipe.train.rounds) {
        entry.state_after = entry.state_before;
        return {};
    }
    TEQUIO_CHECK(compute_lanes(entry));
    remove_lanes(entry.round.value);
    return write_checked(entry_file(entry.round.value),
                         base::as_bytes(training::chronicle_entry_text(entry)));
}

void job_replay::parts::remove_lanes(std::uint64_t round) {
    std::error_code ignored;
    for (std::uint64_t lane = 0; lane < recipe.train.lanes; ++lane) {
        std::filesystem::remove(lane_file(round, lane), ignored);
    }
}

void job_replay::parts::remove_states_but(std::uint64_t round) {
    std::error_code ignored;
    std::vector<std::filesystem::path> old;
    for (const auto& item : std::filesystem::directory_iterator(options.folder, ignored)) {
        const auto name = item.path().filename().string();
        if (name.starts_with("state-") && item.path() != state_file(round)) old.push_back(item);
    }
    for (const auto& path : old) std::filesystem::remove(path, ignored);
}

job_replay::job_replay(std::unique_ptr<parts> p) : parts_(std::move(p)) {}
job_replay::~job_replay() = default;

base::result<std::unique_ptr<job_replay>> job_replay::open(const training::recipe& r,
                                                           std::vector<unique_fd> blobs,
                                                           replay_options options) {
    TEQUIO_TRY(auto lock, lock_folder(options.folder));
    TEQUIO_TRY(auto memory, state_memory::create(training::recipe_id_of(r), state_shape_of(r)));
    auto p = std::make_unique<parts>(r, std::move(blobs), std::move(options), std::move(lock),
                                     std::move(memory));
    TEQUIO_CHECK(p->take_up_folder());
    TEQUIO_CHECK(p->start_worker());
    if (!p->state.held()) TEQUIO_CHECK(p->compute({}));
    p->progress.round = p->state.held()->round;
    return std::unique_ptr<job_replay>(new job_replay(std::move(p)));
}

base::round_index job_replay::round() const {
    return parts_->state.held()->round;
}

const std::vector<chronicle_entry>& job_replay::entries() const {
    return parts_->entries;
}

base::digest job_replay::state_digest() const {
    return parts_->state.held()->digest;
}

const coded_results& job_replay::coded() const {
    return parts_->coded;
}

training::state_view job_replay::state() const {
    return parts_->state.view();
}

const training::recipe& job_replay::recipe() const {
    return parts_->recipe;
}

base::result<chronicle_entry> job_replay::next_round() {
    base::ensure(parts_->entries.empty() || !parts_->entries.back().closes(),
                 "a job has no round after its closing entry");
    chronicle_entry entry;
    entry.round = round();
    entry.state_before = state_digest();
    parts_->progress.round = entry.round;
    TEQUIO_CHECK(parts_->finish_round(entry));
    parts_->entries.push_back(entry);
    return entry;
}

base::result<base::digest> job_replay::apply(worker_input_file mean) {
    compute_item item;
    item.kind = compute_kind::apply;
    item.round = round();
    item.inputs = 1;
    TEQUIO_TRY(const auto done,
               parts_->compute(item, [&](std::uint32_t) -> base::result<worker_input_file> {
                   unique_fd fd(::fcntl(mean.file.get(), F_DUPFD_CLOEXEC, 0));
                   return worker_input_file{mean.blob, std::move(fd)};
               }));
    return done.outcome.state_after;
}

base::result<void> job_replay::save() {
    const auto held = state();
    base::byte_vector bytes;
    base::byte_writer out(bytes);
    out.raw(training::float_bytes(held.parameters));
    out.raw(training::float_bytes(held.momentum));
    out.raw(training::float_bytes(held.second));
    TEQUIO_CHECK(write_checked(parts_->state_file(round().value), bytes));
    parts_->remove_states_but(round().value);
    return {};
}

void job_replay::discard() {
    std::error_code ignored;
    std::vector<std::filesystem::path> ours;
    for (const auto& item : std::filesystem::directory_iterator(parts_->options.folder, ignored)) {
        const auto name = item.path().filename().string();
        // The folder may be one that its user had before: what is not ours stays.
        const bool is_ours = name == "recipe" || name == "lock" || name.starts_with("entry-") ||
                             name.starts_with("state-") || name.starts_with("lane-");
        if (is_ours) ours.push_back(item.path());
    }
    for (const auto& path : ours) std::filesystem::remove(path, ignored);
    std::filesystem::remove(parts_->options.folder, ignored);
}

int job_replay::worker_process() const {
    return parts_->worker.process();
}

}  // namespace tequio::node
