#include "tests/simulation/node_observer.hpp"

#include "base/ensure.hpp"
#include "base/sha256.hpp"
#include "base/signed_note.hpp"
#include "ledger/entry.hpp"
#include "ledger/wire/desk_message.hpp"
#include "p2p/wire/messages.hpp"
#include "training/cost.hpp"
#include "training/crew/messages.hpp"

namespace tequio::simulation {
namespace {

// node/core's topics (node/README.md).
constexpr std::uint8_t crew_topic = 2;
constexpr std::uint8_t receipt_topic = 3;

}  // namespace

void node_observer::expect(const base::task_id& id, const training::task& task,
                           const replayed& alone) {
    const auto& work = task.work;
    jobs_[id] = {static_cast<std::uint32_t>(work.train.lanes),
                 work.train.rounds,
                 training::cost_of(work).contribution_bytes,
                 training::cost_of(work).mean_bytes,
                 work.data.validation_tokens > 0,
                 &alone};
}

void node_observer::stored(const node::keep& change) {
    if (!change.bucket.starts_with("entry/") || !change.value) return;
    const auto id = base::parse_id<base::task_id>(change.bucket.substr(6));
    const auto entry = training::parse_chronicle_entry(*change.value);
    base::ensure(id && entry, "a stored entry can be read");
    const auto it = jobs_.find(*id);
    base::ensure(it != jobs_.end(), "a stored entry is of a job that was submitted");
    const auto& alone = it->second.alone->entries;
    base::ensure(entry->round.value < alone.size() && alone[entry->round.value] == *entry,
                 "a chronicle entry is what one machine alone makes");
}

void node_observer::sent(const base::node_id& from, base::byte_view link_message) {
    const auto message = p2p::wire::decode_message(link_message);
    base::ensure(message.has_value(), "what is sent over a link can be read");
    const auto* app = std::get_if<p2p::wire::app>(&*message);
    if (app == nullptr) return;
    if (app->topic == crew_topic) crew_message(from, app->bytes);
    if (app->topic == receipt_topic) desk_message(app->bytes);
}

void node_observer::crew_message(const base::node_id& from, base::byte_view bytes) {
    using namespace training::crew_protocol;
    const auto id = base::id_from_bytes<base::task_id>(bytes.first(32));
    const auto it = jobs_.find(*id);
    base::ensure(it != jobs_.end(), "crews speak of jobs that were submitted");
    const auto& job = it->second;
    const auto units = base::blob_ref{{}, job.mean_bytes}.pieces();  // a piece is a unit
    const job_shape shape{
        *id, job.lanes, job.rounds, job.contribution_bytes, job.mean_bytes, job.validation, units};
    const auto decoded = decode(shape, bytes.subspan(32));
    base::ensure(decoded.has_value(), "what a crew sends can be read");
    const auto* told = std::get_if<facts>(&*decoded);
    if (told == nullptr) return;
    const auto place = [&](const char* kind, const item_key& key) {
        return std::string(kind) + " " + id->brief() + " " + std::to_string(key.round) + " " +
               std::to_string(key.item);
    };
    for (const auto& fact : told->claims) {
        const auto c = parse_claim(shape, fact.body);
        base::ensure(c.has_value(), "claims that are sent can be read");
        said(c->node, place("claim", c->key), fact.body);
    }
    for (const auto& fact : told->parts) {
        const auto p = parse_part(shape, fact.body);
        base::ensure(p.has_value(), "parts that are sent can be read");
        said(p->node,
             place("part", {p->round, 0}) + " " + std::to_string(p->units.first) + "+" +
                 std::to_string(p->units.count) + " " + p->inputs.hex(),
             fact.body);
    }
    for (const auto& fact : told->openings) {
        const auto o = parse_opening(shape, fact.body);
        base::ensure(o.has_value(), "openings that are sent can be read");
        said(o->node, place("opening", o->key), fact.body);
    }
    (void)from;
}

void node_observer::desk_message(base::byte_view bytes) {
    const auto message = ledger::decode_message(bytes);
    base::ensure(message.has_value(), "what a desk sends can be read");
    const auto* offer = std::get_if<ledger::offer>(&*message);
    const auto* answer = std::get_if<ledger::answer>(&*message);
    if (offer == nullptr && answer == nullptr) return;
    const auto note = base::parse_signed_note(offer ? offer->note : answer->note);
    const auto r = note ? ledger::parse_receipt(note->text) : ledger::receipt{};
    base::ensure(note && r && r->facts.checker, "what a desk sends is a receipt");
    signed_receipt(*r->facts.checker, note->text);
    if (answer) signed_receipt(r->facts.worker, note->text);
}

void node_observer::written(const base::node_id& by, const ledger::store_write& what) {
    if (const auto* offer = std::get_if<ledger::keep_offer>(&what)) {
        (void)offer;  // an offer that exists already is not signed
        return;
    }
    const auto& note = std::get<ledger::append_note>(what).note;
    const auto content = ledger::parse_entry_note(note);
    if (!content || !std::holds_alternative<ledger::receipt>(*content)) return;
    const auto parsed = base::parse_signed_note(note);
    const auto& facts = std::get<ledger::receipt>(*content).facts;
    if (facts.verdict == ledger::receipt_verdict::matched ||
        facts.verdict == ledger::receipt_verdict::refuted) {
        signed_receipt(facts.worker, parsed->text);
        signed_receipt(*facts.checker, parsed->text);
    }
    base::ensure(facts.worker == by || facts.checker == by, "a ledger holds its node's receipts");
}

void node_observer::signed_receipt(const base::node_id& who, std::string_view text) {
    const auto r = ledger::parse_receipt(std::string(text));
    said(who, "receipt " + ledger::statement_key(ledger::statement::receipt, r->facts).hex(),
         base::as_bytes(text));
}

void node_observer::said(const base::node_id& who, const std::string& about, base::byte_view what) {
    const auto digest = base::sha256(what);
    const auto [it, fresh] = said_.emplace(std::pair(who, about), digest);
    base::ensure(fresh || it->second == digest, "said twice, differently");
}

}  // namespace tequio::simulation
