// What was checked becomes receipts: the checker drafts, the worker compares with what it saw
// itself, both sign. Of a team each member does so for its slice.

#include "node/core/node_state.hpp"

namespace tequio::node {
namespace {

constexpr std::size_t checked_here_max = 1 << 16;  // guess: a round of the largest job

}  // namespace

void node_logic::state::record_check(held_job& j, const training::check_recorded& recorded) {
    for (auto& facts : receipts_of(j, recorded)) {
        if (facts.checker.value_or(facts.worker) == self_.node()) {
            tell_desk(ledger::draft{std::move(facts), round_record_of(j, recorded)});
        } else if (facts.worker == self_.node()) {
            if (j.checked_here.size() >= checked_here_max) {
                j.checked_here.erase(j.checked_here.begin());
            }
            const auto key = ledger::statement_key(ledger::statement::receipt, facts);
            j.checked_here.insert_or_assign({facts.round.value, key}, facts);
        }
    }
    if (recorded.verdict == training::check_verdict::refuted) {
        say(log_level::error,
            "job " + j.id.brief() + ": round " + std::to_string(recorded.round.value) + " lane " +
                std::to_string(recorded.lane.value) + " of node " + recorded.worker.brief() +
                " differs from what node " + recorded.checker.brief() + " computed");
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
    const auto it = j->checked_here.find(
        {facts.round.value, ledger::statement_key(ledger::statement::receipt, facts)});
    // Its own view may still be on the way; the offer comes again.
    if (it == j->checked_here.end()) return {wanted.request, answer::not_yet, ""};
    if (it->second != facts) {
        return {wanted.request, answer::disagree,
                "the receipt says other things than this node saw"};
    }
    return {wanted.request, answer::agree, ""};
}

}  // namespace tequio::node
