// What was checked becomes receipts: the checker drafts, the worker compares with what it saw
// itself, both sign. Of a team each member does so for its slice.

#include "base/text.hpp"
#include "node/core/node_state.hpp"
#include "node/core/retention.hpp"

namespace tequio::node {
namespace {

constexpr std::size_t checked_here_max = 1 << 16;  // guess: a round of the largest job

using checked_key = std::pair<std::uint64_t, base::digest>;

checked_key key_of(const ledger::receipt_facts& facts) {
    return {facts.round.value, ledger::statement_key(ledger::statement::receipt, facts)};
}

/// In durable memory.
std::string name_of(const checked_key& key) {
    return std::to_string(key.first) + " " + key.second.hex();
}

}  // namespace

void node_logic::state::record_check(held_job& j, const training::check_recorded& recorded) {
    for (auto& facts : receipts_of(j, recorded)) {
        if (facts.checker.value_or(facts.worker) == self_.node()) {
            tell_desk(ledger::draft{std::move(facts), round_record_of(j, recorded)});
        } else if (facts.worker == self_.node()) {
            expect_receipt(j, facts);
        }
    }
    if (recorded.verdict == training::check_verdict::refuted) {
        say(log_level::error,
            "job " + j.id.brief() + ": round " + std::to_string(recorded.round.value) + " lane " +
                std::to_string(recorded.lane.value) + " of node " + recorded.worker.brief() +
                " differs from what node " + recorded.checker.brief() + " computed");
    }
}

void node_logic::state::expect_receipt(held_job& j, const ledger::receipt_facts& facts) {
    const auto bucket = std::string(checked_bucket) + j.id.hex();
    const auto key = key_of(facts);
    const auto what = digest_of(facts);
    const bool fresh = j.checked_here.insert_or_assign(key, what).second;
    remember(bucket, name_of(key), what.hex());
    if (!fresh || j.checked_here.size() <= checked_here_max) return;
    remember(bucket, name_of(j.checked_here.begin()->first), std::nullopt);
    j.checked_here.erase(j.checked_here.begin());
}

void node_logic::state::restore_checked(held_job& j, const node_memory& memory) {
    const auto bucket = std::string(checked_bucket) + j.id.hex();
    for (auto it = memory.lower_bound({bucket, ""});
         it != memory.end() && it->first.first == bucket; ++it) {
        const auto words = base::split(it->first.second, ' ');
        const auto round = words.size() == 2 ? base::parse_u64(words[0]) : std::nullopt;
        const auto key = base::parse_id<base::digest>(words.back());
        const auto what = base::parse_id<base::digest>(it->second);
        if (round && key && what) j.checked_here[{*round, *key}] = *what;
    }
}

void node_logic::state::tell_desk(const ledger::desk_event& e) {
    ledger::desk_effects effects;
    if (const auto done = desk_.handle({at_.now, at_.wall}, e, effects); !done) {
        say(log_level::warn, "receipts: " + done.error().message());
    }
    for (auto& effect : effects) {
        if (auto* message = std::get_if<ledger::send_desk_message>(&effect)) {
            send(message->to, topic::receipt, std::move(message->bytes));
        } else if (auto* wanted = std::get_if<ledger::confirm_wanted>(&effect)) {
            tell_desk(judge_receipt(*wanted));
        } else if (auto* write = std::get_if<ledger::write_wanted>(&effect)) {
            out_->push_back(ledger_write{write->request, std::move(write->what)});
        } else if (auto* notice = std::get_if<ledger::desk_notice>(&effect)) {
            say(log_level::warn, "receipts: node " + notice->node.brief() + ": " + notice->text);
        }
    }
}

ledger::confirm node_logic::state::judge_receipt(const ledger::confirm_wanted& wanted) {
    using answer = ledger::confirm::answer;
    const auto& facts = wanted.what.facts;
    auto* j = job_of(facts.task);
    // What was forgotten is unavailable here, not wrong.
    if (!j && forgotten_.contains(facts.task)) return {wanted.request, answer::not_yet, ""};
    if (!j) return {wanted.request, answer::disagree, "this node does not know the task"};
    if (!facts.lane)
        return {wanted.request, answer::disagree, "only lanes are receipted in this version"};
    const auto it = j->checked_here.find(key_of(facts));
    // Its own view may still be on the way; the offer comes again.
    if (it == j->checked_here.end()) return {wanted.request, answer::not_yet, ""};
    if (it->second != digest_of(facts)) {
        return {wanted.request, answer::disagree,
                "the receipt says other things than this node saw"};
    }
    return {wanted.request, answer::agree, ""};
}

}  // namespace tequio::node
