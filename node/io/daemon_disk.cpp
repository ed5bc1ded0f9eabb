// The daemon and its disk: how full it is, and what happens when it is. What must be durable waits
// for room, and everything behind it waits too (node_logic.hpp, rule 1): nothing is lost, nothing
// leaves this machine that it could contradict, and it all goes on when there is room again.

#include <spdlog/spdlog.h>

#include "base/text.hpp"
#include "node/core/errc.hpp"
#include "node/io/daemon_loop.hpp"

namespace tequio::node {
namespace {

/// Less than this is a full disk: the databases and the texts of chronicles need some at any time
/// (guess: the largest text is 5 MiB, of 65,536 lanes).
constexpr std::uint64_t room_least_bytes = std::uint64_t{8} << 20;
constexpr auto disk_look_every = std::chrono::seconds(10);
constexpr auto room_look_again = std::chrono::seconds(1);
/// Effects that may wait for room. A node of a small crew says some six things a second, so these
/// are hours (guess: 100 MiB).
constexpr std::size_t effects_waiting_max = 200'000;

bool has_room(const std::filesystem::path& folder) {
    std::error_code ec;
    const auto space = std::filesystem::space(folder, ec);
    return ec || space.available >= room_least_bytes;
}

std::string full_disk(const std::filesystem::path& folder) {
    return "the disk of " + folder.string() + " is full (less than " +
           base::human_size(room_least_bytes) + " free)";
}

}  // namespace

void daemon_loop::look_at_disk() {
    storage_->run([this]() -> storage_thread::continuation {
        std::error_code ec;
        const auto space = std::filesystem::space(options_.data_dir, ec);
        disk_use use{blobs_->used_bytes(), 0, 0};
        if (!ec) use = {use.used, space.capacity, space.available};
        return [this, use] { logic_->set_disk(use); };
    });
    disk_timer_.expires_after(disk_look_every);
    disk_timer_.async_wait([this](boost::system::error_code ec) {
        if (!ec && !stopping_) look_at_disk();
    });
}

std::string daemon_loop::disk_full_reason() const {
    if (!full_since_) return "";
    return full_disk(options_.data_dir) +
           ": nothing is written, sent or computed until there is room again";
}

base::result<void> daemon_loop::with_room(const std::function<base::result<void>()>& work) {
    for (bool said = false;; said = true) {
        auto done = work();
        if (done || has_room(options_.data_dir)) return done;
        if (!said) {
            spdlog::error("{}: {}; the node starts when there is room",
                          full_disk(options_.data_dir), done.error().message());
        }
        room_timer_.expires_after(room_look_again);
        room_timer_.wait();
    }
}

void daemon_loop::wait_for_room(std::function<void()> then) {
    waiting_for_room_.push_back(std::move(then));
    if (full_since_) return;
    full_since_ = now().wall;
    spdlog::error("{}", disk_full_reason());
    look_for_room();
}

void daemon_loop::look_for_room() {
    room_timer_.expires_after(room_look_again);
    room_timer_.async_wait([this](boost::system::error_code ec) {
        if (ec || stopping_) return;
        if (!has_room(options_.data_dir)) return look_for_room();
        spdlog::info("the disk of {} has room again", options_.data_dir.string());
        full_since_.reset();
        for (const auto& then : std::exchange(waiting_for_room_, {})) then();
        pump();
    });
}

void daemon_loop::bound_outbox() {
    if (!full_since_ || outbox_.size() <= effects_waiting_max) return;
    fail(base::fail(base::errc::io_failure, disk_full_reason() + ", and it took too long"));
}

void daemon_loop::hold_for(std::function<base::result<void>()> work) {
    holding_ = true;
    storage_->run([this, work = std::move(work)]() -> storage_thread::continuation {
        const auto& folder = options_.data_dir;
        auto done = has_room(folder)
                        ? work()
                        : base::result<void>(base::fail(base::errc::too_large, "no room"));
        // All of what `work` does is done again: it is whole or not there at all.
        if (!done && !has_room(folder)) {
            return [this, work] { wait_for_room([this, work] { hold_for(work); }); };
        }
        return [this, done = std::move(done)] {
            holding_ = false;
            if (!done) return fail(done.error());
            pump();
            if (stop_when_drained_ && logic_->drained() && outbox_.empty() && !holding_)
                stop("drained");
        };
    });
}

base::result<void> daemon_loop::open_ledger() {
    auto log_key = std::make_shared<const base::signing_key>(
        base::signing_key::from_seed(identity_->key(p2p::key_role::log).seed()));
    auto certificate =
        ledger::certify_key(identity_->root(), ledger::log_role, log_key->public_part());
    ledger_.reset();  // lets go of its lock
    TEQUIO_TRY(ledger_,
               ledger::store::open((options_.data_dir / "ledger.db").string(),
                                   {identity_->node(), std::move(log_key), std::move(certificate)},
                                   now().wall));
    return {};
}

// A ledger that could not write stays closed until it is opened anew, which writes too.
base::result<std::vector<ledger::write_outcome>> daemon_loop::write_to_ledger(
    std::span<const ledger::store_write> writes) {
    if (!ledger_) TEQUIO_CHECK(open_ledger());
    auto outcomes = ledger_->commit(writes);
    if (!outcomes) ledger_.reset();
    return outcomes;
}

void daemon_loop::act(ledger_write& e) {
    ledger_batch batch;
    batch.writes.push_back(std::move(e.what));
    batch.requests.push_back(e.request);
    while (!outbox_.empty() && std::holds_alternative<ledger_write>(outbox_.front())) {
        auto next = std::get<ledger_write>(next_effect());
        batch.writes.push_back(std::move(next.what));
        batch.requests.push_back(next.request);
    }
    commit(std::make_shared<const ledger_batch>(std::move(batch)));
}

void daemon_loop::commit(std::shared_ptr<const ledger_batch> batch) {
    storage_->run([this, batch = std::move(batch)]() -> storage_thread::continuation {
        const auto& folder = options_.data_dir;
        const auto later = [this, batch] { wait_for_room([this, batch] { commit(batch); }); };
        if (!has_room(folder)) return later;
        auto outcomes = write_to_ledger(batch->writes);
        if (!outcomes && !has_room(folder)) return later;
        return [this, batch, outcomes = std::move(outcomes)]() mutable {
            if (!outcomes) return fail(outcomes.error());
            for (std::size_t i = 0; i < batch->requests.size(); ++i) {
                handle(ledger_written{batch->requests[i], std::move((*outcomes)[i])});
            }
        };
    });
}

// A node that fetches before it can write anything else would not notice otherwise.
void daemon_loop::store(std::shared_ptr<const p2p::store_piece> piece) {
    storage_->run([this, piece = std::move(piece)]() -> storage_thread::continuation {
        const auto stored = blobs_->put_piece(piece->ref, piece->piece);
        if (stored) return {};
        if (!has_room(options_.data_dir)) {
            return [this, piece] { wait_for_room([this, piece] { store(piece); }); };
        }
        return [this, ref = piece->ref, why = stored.error().message()] {
            handle(blob_lost{ref, why});
        };
    });
}

void daemon_loop::drop_at_once(node_effects& effects) {
    for (auto& effect : effects) {
        if (auto* drop = std::get_if<drop_blob>(&effect)) act(*drop);
    }
    std::erase_if(effects, [](const auto& e) { return std::holds_alternative<drop_blob>(e); });
}

}  // namespace tequio::node
