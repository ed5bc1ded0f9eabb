#include "node/worker/worker_session.hpp"

#include <algorithm>

#include "node/worker/team_letter.hpp"
#include "training/errc.hpp"

namespace tequio::node {
namespace {

constexpr auto progress_interval = std::chrono::milliseconds(200);

base::error out_of_place(const char* what) {
    return base::fail(base::errc::bad_encoding,
                      std::string("the daemon sent ") + what + " where none was due");
}

}  // namespace

worker_session::worker_session(channel link, compute_pool& pool, const runner_options& options)
    : link_(std::move(link)), pool_(pool), options_(options) {
    pool_.while_parked([this] { look_while_parked(); });
}

/// Threads stand still at the gate, in the middle of an item: messages are read all the same.
void worker_session::look_while_parked() {
    if (item_ == 0) return;  // a job is being opened: what comes now is for later
    while (!ended()) {
        auto next = next_command(channel_wait::no);
        if (!next) {
            trouble_ = next.error();
        } else if (*next) {
            note_stop(**next);
        } else {
            break;
        }
    }
    if (ended()) pool_.abandon();
}

bool worker_session::report(const worker_report& message, int descriptor) {
    const auto bytes = encode(message);
    const std::span<const int> descriptors(&descriptor, descriptor >= 0 ? 1 : 0);
    // Progress that does not fit into the socket is dropped; everything else waits for room.
    const bool droppable = std::holds_alternative<worker_progress>(message);
    const auto sent =
        link_.send(bytes, descriptors, droppable ? channel_wait::no : channel_wait::yes);
    return sent && *sent != channel_sent::closed;
}

base::result<std::optional<worker_session::command>> worker_session::next_command(
    channel_wait wait) {
    TEQUIO_TRY(auto message, link_.receive(wait));
    if (!message) return std::optional<command>();
    TEQUIO_TRY(auto decoded, decode_command(message->bytes));
    if (message->descriptors.size() != descriptors_of(decoded)) {
        return base::fail(base::errc::bad_encoding, "a message without its descriptors");
    }
    return std::optional<command>(command{std::move(decoded), std::move(message->descriptors)});
}

base::result<void> worker_session::serve() {
    while (true) {
        TEQUIO_TRY(auto next, next_command(channel_wait::yes));
        if (!next) return {};
        TEQUIO_CHECK(obey(std::move(*next)));
        if (link_.closed()) return {};
    }
}

base::result<void> worker_session::obey(command c) {
    if (const auto* open = std::get_if<worker_open_job>(&c.message)) {
        open_job(*open, std::move(c.descriptors));
    } else if (const auto* start = std::get_if<worker_begin>(&c.message)) {
        begin(start->item);
        return trouble_;
    } else if (std::holds_alternative<worker_close_job>(c.message)) {
        job_.reset();
    } else if (std::holds_alternative<worker_hand_back_memory>(c.message) && job_) {
        job_->page_out();
    }
    // A stop or an input can cross the report that ended its item: nothing is due to it any more.
    return {};
}

void worker_session::open_job(const worker_open_job& message, std::vector<unique_fd> descriptors) {
    job_.reset();
    const std::span blobs(descriptors.begin() + 1, descriptors.end());
    auto options = options_;
    options.slice = message.slice;
    options.slice_count = message.slices;
    auto opened =
        job_runner::open(message.recipe, blobs, std::move(descriptors[0]), pool_, options);
    if (!opened) {
        report(worker_job_refused{opened.error().message()});
        return;
    }
    job_ = std::move(*opened);
    worker_job_opened answer;
    answer.memory_bytes = job_->memory_bytes();
    if (const auto held = job_->held()) {
        answer.has_state = true;
        answer.round = held->round;
        answer.state = held->digest;
    }
    report(answer);
}

void worker_session::begin(const compute_item& item) {
    item_ = item.id;
    mail_.clear();
    waited_ = {};
    stop_asked_ = false;
    next_progress_ = std::chrono::steady_clock::now() + progress_interval;
    if (!job_) {
        item_ = 0;
        report(worker_item_failed{item.id, false, "no job is open"});
        return;
    }
    const item_callbacks callbacks{
        [this](std::uint32_t index) { return fetch_input(index); },
        [this](std::uint64_t steps) { return keep_going(steps); },
        this,
    };
    auto result = job_->run(item, callbacks);
    item_ = 0;
    mail_.clear();
    if (result) {
        // Its speed is what it does itself.
        auto& spent = result->outcome.computed_microseconds;
        const auto waited = static_cast<std::uint64_t>(
            std::chrono::duration_cast<std::chrono::microseconds>(waited_).count());
        spent -= std::min(spent, waited);
        report_done(item.id, *result);
    } else {
        report(worker_item_failed{item.id, result.error().is(training::errc::stopped),
                                  result.error().message()});
    }
}

void worker_session::report_done(std::uint64_t item, const item_result& result) {
    if (result.blob.empty()) {
        report(worker_item_done{item, result.outcome});
        return;
    }
    const auto file = make_sealed_file("tequio-result", result.blob);
    if (file) {
        report(worker_item_done{item, result.outcome}, file->get());
    } else {
        report(worker_item_failed{item, false, file.error().message()});
    }
}

bool worker_session::keep_going(std::uint64_t steps) {
    pool_.stop_at_gate();
    auto next = next_command(channel_wait::no);
    if (!next) {
        trouble_ = next.error();
    } else if (*next) {
        note_stop(**next);
    }
    if (ended()) return false;
    const auto now = std::chrono::steady_clock::now();
    if (now >= next_progress_) {
        next_progress_ = now + progress_interval;
        report(worker_progress{item_, steps, steps * job_->tokens_per_step()});
    }
    return true;
}

/// While an item runs, only its stop may come, a wish for memory, and late answers to an item that
/// was stopped.
void worker_session::note_stop(command& c) {
    if (const auto* stop = std::get_if<worker_stop>(&c.message)) {
        if (stop->item == item_) stop_asked_ = true;
        return;
    }
    if (std::holds_alternative<worker_hand_back_memory>(c.message)) return job_->page_out();
    if (const auto* letter = std::get_if<worker_team_in>(&c.message)) {
        return note_letter(*letter, c.descriptors);
    }
    if (const auto* credit = std::get_if<worker_team_credit>(&c.message)) {
        auto& out = mail_[credit->by].out;
        if (credit->item == item_ && out > 0) --out;
        return;
    }
    const auto* input = std::get_if<worker_input>(&c.message);
    if (input == nullptr || input->item == item_) trouble_ = out_of_place("a command");
}

base::result<item_input> worker_session::fetch_input(std::uint32_t index) {
    report(worker_wants_input{item_, index});
    while (true) {
        TEQUIO_TRY(auto next, next_command(channel_wait::yes));
        if (!next) return base::fail(training::errc::stopped, "the daemon is gone");
        auto* input = std::get_if<worker_input>(&next->message);
        if (input == nullptr) {
            note_stop(*next);
            if (stop_asked_ || !trouble_) return base::fail(training::errc::stopped, "stopped");
            continue;
        }
        if (input->item != item_) continue;  // answers an item that was stopped before
        if (input->index != index) return out_of_place("another input");
        if (input->missing) {
            return base::fail(base::errc::io_failure,
                              "input " + std::to_string(index) + " is not in the blob store");
        }
        TEQUIO_TRY(auto bytes, memory_map::of(next->descriptors[0].get(), input->blob.size,
                                              memory_map::access::read));
        return item_input{input->blob, std::move(bytes)};
    }
}

void worker_session::note_letter(const worker_team_in& letter, std::vector<unique_fd>& files) {
    if (letter.item != item_) return;  // of an item that ended meanwhile
    auto& in = mail_[letter.from].in;
    auto file = files.empty() ? unique_fd() : std::move(files.front());
    auto received = team_letter::received(letter.tag, letter.size, letter.inlined, std::move(file));
    if (!received) {
        trouble_ = received.error();
    } else if (in.size() >= training::team_messages_max) {
        trouble_ = out_of_place("more of a member's messages");
    } else {
        in.push_back(std::move(*received));
    }
}

base::result<void> worker_session::await_team() {
    const auto since = std::chrono::steady_clock::now();
    TEQUIO_TRY(auto next, next_command(channel_wait::yes));
    waited_ += std::chrono::steady_clock::now() - since;
    if (next) note_stop(*next);
    if (ended()) return base::fail(training::errc::stopped, "stopped");
    return {};
}

base::result<void> worker_session::send(std::uint64_t to, const training::team_tag& tag,
                                        base::byte_vector bytes) {
    const auto member = static_cast<std::uint32_t>(to);
    auto& mail = mail_[to];
    if (mail.out >= training::team_messages_max) report(worker_team_waits{item_, member});
    while (mail.out >= training::team_messages_max) TEQUIO_CHECK(await_team());
    TEQUIO_TRY(const auto letter, team_letter::make(tag, bytes));
    ++mail.out;
    const worker_team_out out{item_, member, tag, bytes.size(), letter->inlined()};
    if (report(out, letter->file())) return {};
    return base::fail(training::errc::stopped, "the daemon is gone");
}

base::result<training::team_message> worker_session::receive(std::uint64_t from,
                                                             const training::team_tag& tag,
                                                             std::uint64_t size) {
    const auto member = static_cast<std::uint32_t>(from);
    auto& in = mail_[from].in;
    while (true) {
        if (in.empty()) report(worker_team_waits{item_, member});
        while (in.empty()) TEQUIO_CHECK(await_team());
        auto letter = std::move(in.front());
        in.pop_front();
        report(worker_team_taken{item_, member});
        if (letter->tag() == tag && letter->bytes().size() == size) {
            const auto bytes = letter->bytes();
            return training::team_message{std::move(letter), bytes};
        }
        blame(from);  // what is due may still come
    }
}

void worker_session::blame(std::uint64_t member) {
    report(worker_team_blames{item_, static_cast<std::uint32_t>(member)});
}

}  // namespace tequio::node
