#include "training/crew/messages.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "base/sha256.hpp"
#include "crew.pb.h"
#include "training/crew/bad_message.hpp"

namespace tequio::training::crew_protocol {
namespace {

using base::byte_vector;
using base::byte_view;
using base::result;

/// Nobody is further away than that: a delay beyond it is none.
constexpr std::uint64_t delay_max_us = 60'000'000;

std::string to_string(byte_view bytes) {
    return std::string(base::as_text(bytes));
}

byte_vector to_bytes(const std::string& text) {
    const auto view = base::as_bytes(text);
    return {view.begin(), view.end()};
}

byte_vector serialize(const google::protobuf::MessageLite& m) {
    byte_vector out(m.ByteSizeLong());
    m.SerializeToArray(out.data(), static_cast<int>(out.size()));
    return out;
}

template <class Message>
bool parse(Message& m, byte_view bytes) {
    return m.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
}

/// 32 bytes, or none for zero where `may_be_empty`.
template <class Id>
bool read_id(const std::string& bytes, Id& out, bool may_be_empty = false) {
    if (may_be_empty && bytes.empty()) {
        out = Id{};
        return true;
    }
    if (bytes.size() != out.bytes.size()) return false;
    std::copy(bytes.begin(), bytes.end(), out.bytes.begin());
    return may_be_empty ? !out.is_zero() : true;
}

template <class Id>
std::string write_id(const Id& id) {
    return id.is_zero() ? std::string() : to_string(id.view());
}

bool name_is_plain(const std::string& name) {
    if (name.empty() || name.size() > tensor_name_max_bytes) return false;
    for (const char c : name) {
        if (c < 0x21 || c > 0x7e) return false;
    }
    return true;
}

bool read_signature(const std::string& bytes, base::signature& out) {
    if (bytes.size() != out.size()) return false;
    std::copy(bytes.begin(), bytes.end(), out.begin());
    return true;
}

result<signed_fact> read_fact(const crew_wire::signed_fact& in,
                              std::size_t max_bytes = fact_body_max_bytes) {
    signed_fact out;
    if (in.body().size() > max_bytes) return bad("a fact is too long");
    if (!read_signature(in.signature(), out.signature)) return bad("a signature has 64 bytes");
    out.body = to_bytes(in.body());
    return out;
}

void write_fact(const signed_fact& in, crew_wire::signed_fact& out) {
    out.set_body(to_string(in.body));
    out.set_signature(to_string(in.signature));
}

result<item_key> read_item(const job_shape& shape, const crew_wire::item_name& in) {
    const item_key key{in.round(), in.item()};
    if (!shape.has(key)) return bad("an item that this job does not have");
    return key;
}

void write_item(const item_key& in, crew_wire::item_name& out) {
    out.set_round(in.round);
    out.set_item(in.item);
}

bool units_exist(const job_shape& shape, contribution_run units) {
    return units.count > 0 && units.count <= shape.mean_units &&
           units.first <= shape.mean_units - units.count;
}

result<steward_name> read_steward(const job_shape& shape, const crew_wire::steward_name& in) {
    steward_name out{in.round(), in.term(), {}};
    if (out.round > shape.rounds + 1 || out.term > counter_max || !read_id(in.node(), out.node)) {
        return bad("a steward out of bounds");
    }
    return out;
}

void write_ref(const base::blob_ref& in, crew_wire::blob_name& out) {
    out.set_root(to_string(in.root.view()));
    out.set_size(in.size);
}

void write(const slice_status& in, crew_wire::slice_status& out) {
    if (in.seat) {
        out.set_index(in.seat->index);
        out.set_count(in.seat->count);
    }
    for (const auto bits : in.fits) out.add_fits(bits);
    out.set_memory(in.memory);
    out.set_speed(in.speed);
    out.set_up(in.up);
    out.set_delay(in.delay);
    for (const auto& l : in.lists) {
        auto& list = *out.add_lists();
        list.set_round(l.round);
        list.set_mean(to_string(l.mean.view()));
        write_ref(l.list, *list.mutable_list());
    }
    if (in.lost) write_item(*in.lost, *out.mutable_lost());
}

result<slice_status> read_slices(const job_shape& shape, const crew_wire::slice_status& in) {
    slice_status out;
    if (in.count() > crew_slices_max || (in.count() > 0 && in.index() >= in.count()) ||
        in.fits_size() > static_cast<int>(crew_slices_max) ||
        in.lists_size() > static_cast<int>(slice_lists_max)) {
        return bad("a slice out of bounds");
    }
    if (in.count() > 0) out.seat = model_slice{in.index(), in.count()};
    for (const auto bits : in.fits()) {
        out.fits.push_back(bits);
        if ((std::uint64_t{bits} >> out.fits.size()) != 0) return bad("more slices than there are");
    }
    out.memory = in.memory();
    out.speed = in.speed();
    out.up = in.up();
    out.delay = std::min(in.delay(), delay_max_us);
    for (const auto& l : in.lists()) {
        slice_list list{l.round(), {}, {{}, l.list().size()}};
        if (list.round > shape.rounds || !read_id(l.mean(), list.mean) ||
            !read_id(l.list().root(), list.list.root) || list.list.size == 0 ||
            list.list.size > slice_list_max_bytes || list.list.size % 32 != 0) {
            return bad("a slice's list out of bounds");
        }
        out.lists.push_back(list);
    }
    if (in.has_lost()) {
        TEQUIO_TRY(out.lost, read_item(shape, in.lost()));
        if (out.lost->item >= shape.lanes) return bad("a lost contribution of no lane");
    }
    return out;
}

/// Every team has each slice once.
bool teams_are_whole(const std::vector<seat>& seats, std::uint32_t slices) {
    std::map<std::uint32_t, std::vector<bool>> teams;
    for (const auto& s : seats) {
        if (s.team == 0) continue;
        auto& team = teams[s.team];
        team.resize(slices);
        if (team[s.slice]) return false;
        team[s.slice] = true;
    }
    return std::all_of(teams.begin(), teams.end(), [](const auto& team) {
        return std::find(team.second.begin(), team.second.end(), false) == team.second.end();
    });
}

result<std::vector<seat>> read_seats(const crew_wire::round_open& in) {
    std::vector<seat> out;
    if (in.slices() > crew_slices_max || in.seats_size() > static_cast<int>(crew_members_max)) {
        return bad("too many seats");
    }
    for (const auto& s : in.seats()) {
        seat to{{}, s.slice(), s.team()};
        // Ascending, so that a node has one.
        if (!read_id(s.node(), to.node) || to.slice >= in.slices() || to.team > crew_members_max ||
            (!out.empty() && !(out.back().node < to.node))) {
            return bad("a seat out of bounds");
        }
        out.push_back(to);
    }
    if (!teams_are_whole(out, in.slices())) return bad("a team that is not whole");
    return out;
}

/// No group beyond the 2^depth; none at all of a crew that is not in groups.
bool groups_exist(std::uint32_t depth, std::uint64_t groups) {
    if (depth > group_depth_max) return false;
    return depth == 0 ? groups == 0 : depth == group_depth_max || groups >> (1u << depth) == 0;
}

void write(const facts& in, crew_wire::frame& frame) {
    auto& out = *frame.mutable_facts();
    for (const auto& [node, bytes] : in.certificates) {
        auto& c = *out.add_certificates();
        c.set_node(to_string(node.view()));
        c.set_bytes(to_string(bytes));
    }
    for (const auto& fact : in.claims) write_fact(fact, *out.add_claims());
    for (const auto& fact : in.openings) write_fact(fact, *out.add_openings());
    for (const auto& key : in.openings_wanted) write_item(key, *out.add_openings_wanted());
    for (const auto& fact : in.parts) write_fact(fact, *out.add_parts());
    for (const auto& fact : in.sums) write_fact(fact, *out.add_sums());
}

result<message> read(const job_shape& shape, const crew_wire::facts& in) {
    facts out;
    if (in.certificates_size() > static_cast<int>(facts_max) * 2 ||
        in.claims_size() > static_cast<int>(facts_max) ||
        in.openings_size() > static_cast<int>(facts_max) ||
        in.parts_size() > static_cast<int>(facts_max) ||
        in.sums_size() > static_cast<int>(facts_max) ||
        in.openings_wanted_size() > static_cast<int>(wanted_max)) {
        return bad("too many facts");
    }
    for (const auto& c : in.certificates()) {
        base::node_id node;
        if (!read_id(c.node(), node) || c.bytes().size() > certificate_max_bytes) {
            return bad("a certificate out of bounds");
        }
        out.certificates.emplace_back(node, to_bytes(c.bytes()));
    }
    for (const auto& fact : in.claims()) {
        TEQUIO_TRY(auto f, read_fact(fact, team_claim_max_bytes));
        out.claims.push_back(std::move(f));
    }
    for (const auto& fact : in.openings()) {
        TEQUIO_TRY(auto f, read_fact(fact));
        out.openings.push_back(std::move(f));
    }
    for (const auto& item : in.openings_wanted()) {
        TEQUIO_TRY(const auto key, read_item(shape, item));
        out.openings_wanted.push_back(key);
    }
    for (const auto& fact : in.parts()) {
        TEQUIO_TRY(auto f, read_fact(fact));
        out.parts.push_back(std::move(f));
    }
    for (const auto& fact : in.sums()) {
        TEQUIO_TRY(auto f, read_fact(fact));
        out.sums.push_back(std::move(f));
    }
    return message(std::move(out));
}

void write(const status& in, crew_wire::frame& frame) {
    auto& out = *frame.mutable_status();
    out.set_chronicle(in.chronicle);
    out.set_applied(in.applied);
    out.set_state(write_id(in.state));
    out.set_settled(in.settled);
    out.set_lanes_checked(in.lanes_checked);
    out.set_doing(static_cast<std::uint32_t>(in.doing));
    if (in.doing == doing_kind::item) write_item(in.item, *out.mutable_item());
    out.set_available(in.available);
    out.set_able(in.able);
    out.set_leaving(in.leaving);
    out.set_job_state(static_cast<std::uint32_t>(in.job));
    if (in.steward) {
        out.mutable_steward()->set_round(in.steward->round);
        out.mutable_steward()->set_term(in.steward->term);
        out.mutable_steward()->set_node(to_string(in.steward->node.view()));
    }
    for (const auto& [round, fold] : in.books) {
        auto& book = *out.add_books();
        book.set_round(round);
        book.set_fold(fold);
    }
    out.set_activity(in.activity);
    for (const auto& t : in.tickets) {
        auto& ticket = *out.add_tickets();
        ticket.set_round(t.round);
        ticket.set_value(to_string(t.value.view()));
        ticket.set_shown(t.shown);
    }
    if (in.slices) write(*in.slices, *out.mutable_slices());
    for (const auto lane : in.missing) out.add_missing(lane);
    out.set_full(in.full);
    out.set_depth(in.depth);
    out.set_sums_wanted(in.sums_wanted);
    out.set_parts_wanted(in.parts_wanted);
    if (in.kept) {
        auto& kept = *out.mutable_kept();
        kept.set_round(in.kept->round);
        write_ref(in.kept->blob, *kept.mutable_blob());
        kept.set_history(to_string(in.kept->history.view()));
    }
    out.set_means_from(in.means_from);
}

result<message> read(const job_shape& shape, const crew_wire::status& in) {
    status out;
    out.chronicle = in.chronicle();
    out.applied = in.applied();
    out.settled = in.settled();
    out.lanes_checked = in.lanes_checked();
    out.activity = in.activity();
    if (out.chronicle > shape.rounds + 1 || out.applied > shape.rounds ||
        out.settled > out.chronicle || out.lanes_checked > out.settled * shape.lanes ||
        out.activity > counter_max || !read_id(in.state(), out.state, true)) {
        return bad("a status out of bounds");
    }
    if (in.doing() > 2 || in.job_state() > static_cast<std::uint32_t>(job_state::cancelled)) {
        return bad("a status of an unknown kind");
    }
    out.doing = static_cast<doing_kind>(in.doing());
    out.job = static_cast<job_state>(in.job_state());
    if (out.doing == doing_kind::item) {
        TEQUIO_TRY(out.item, read_item(shape, in.item()));
    }
    out.available = in.available();
    out.able = in.able();
    out.leaving = in.leaving();
    out.full = in.full();
    if (in.has_steward()) {
        TEQUIO_TRY(out.steward, read_steward(shape, in.steward()));
    }
    if (in.books_size() > static_cast<int>(books_max)) return bad("too many books");
    for (const auto& book : in.books()) {
        if (book.round() > shape.rounds) return bad("a book of a round that does not exist");
        out.books.emplace_back(book.round(), book.fold());
    }
    if (in.tickets_size() > static_cast<int>(tickets_max)) return bad("too many tickets");
    for (const auto& t : in.tickets()) {
        ticket read{t.round(), {}, t.shown()};
        // Ascending, so that there is one a round.
        const bool ordered = out.tickets.empty() || out.tickets.back().round < read.round;
        if (read.round >= shape.rounds || !ordered || !read_id(t.value(), read.value)) {
            return bad("a lottery ticket out of bounds");
        }
        out.tickets.push_back(read);
    }
    if (in.has_slices()) {
        TEQUIO_TRY(out.slices, read_slices(shape, in.slices()));
    }
    if (in.missing_size() > static_cast<int>(missing_max)) return bad("too many missing lanes");
    for (const auto lane : in.missing()) {
        if (lane >= shape.lanes || (!out.missing.empty() && out.missing.back() >= lane)) {
            return bad("a missing lane out of bounds");
        }
        out.missing.push_back(lane);
    }
    out.depth = in.depth();
    out.sums_wanted = in.sums_wanted();
    out.parts_wanted = in.parts_wanted();
    if (!groups_exist(out.depth, out.sums_wanted)) return bad("groups out of bounds");
    if (in.has_kept()) {
        named_state kept{in.kept().round(), {}, {}};
        if (kept.round == 0 || kept.round >= shape.rounds || kept.round > out.chronicle ||
            !read_id(in.kept().history(), kept.history) ||
            !read_id(in.kept().blob().root(), kept.blob.root) || in.kept().blob().size() == 0 ||
            in.kept().blob().size() > base::blob_size_max_bytes) {
            return bad("a full state out of bounds");
        }
        kept.blob.size = in.kept().blob().size();
        out.kept = kept;
    }
    out.means_from = in.means_from();
    if (out.means_from > out.chronicle) return bad("means of rounds that are to come");
    return message(std::move(out));
}

void write(const round_open& in, crew_wire::frame& frame) {
    auto& out = *frame.mutable_round_open();
    out.set_round(in.round);
    out.set_term(in.term);
    out.set_state(write_id(in.state));
    const auto write_all = [&](const auto& assignments, bool next) {
        for (const auto& [node, key] : assignments) {
            auto& assignment = *out.add_assignments();
            assignment.set_node(to_string(node.view()));
            write_item(key, *assignment.mutable_item());
            assignment.set_next(next);
        }
    };
    write_all(in.assignments, false);
    write_all(in.next, true);
    out.set_place(in.place);
    out.set_places(in.places);
    for (const auto& s : in.shards) {
        auto& to = *out.add_shards();
        to.set_first(s.units.first);
        to.set_count(s.units.count);
        to.set_node(to_string(s.owner.view()));
    }
    out.set_slices(in.slices);
    for (const auto& s : in.seats) {
        auto& to = *out.add_seats();
        to.set_node(to_string(s.node.view()));
        to.set_slice(s.slice);
        to.set_team(s.team);
    }
    if (in.mean.size > 0) write_ref(in.mean, *out.mutable_mean());
    for (const auto& [node, key] : in.again) {
        auto& to = *out.add_again();
        to.set_node(to_string(node.view()));
        write_item(key, *to.mutable_item());
    }
    out.set_depth(in.depth);
    out.set_groups(in.groups);
    out.set_abroad(in.abroad);
    for (const auto lane : in.lost) out.add_lost(lane);
}

result<message> read(const job_shape& shape, const crew_wire::round_open& in) {
    round_open out;
    out.round = in.round();
    out.term = in.term();
    if (out.round > shape.rounds + 1 || out.term > counter_max ||
        !read_id(in.state(), out.state, true) ||
        in.assignments_size() > static_cast<int>(2 * crew_members_max) ||
        in.shards_size() > static_cast<int>(crew_members_max) || in.places() > crew_members_max ||
        in.place() > in.places() || (in.places() > 0 && in.place() == in.places())) {
        return bad("a round-open out of bounds");
    }
    out.place = in.place();
    out.places = in.places();
    for (const auto& s : in.shards()) {
        shard to{{s.first(), s.count()}, {}};
        if (!units_exist(shape, to.units) || !read_id(s.node(), to.owner)) {
            return bad("a shard out of bounds");
        }
        out.shards.push_back(to);
    }
    for (const auto& assignment : in.assignments()) {
        base::node_id node;
        if (!read_id(assignment.node(), node)) return bad("an assignment without a node");
        TEQUIO_TRY(const auto key, read_item(shape, assignment.item()));
        (assignment.next() ? out.next : out.assignments).emplace_back(node, key);
    }
    out.slices = in.slices();
    TEQUIO_TRY(out.seats, read_seats(in));
    if (in.has_mean()) {
        out.mean.size = in.mean().size();
        if (out.mean.size != shape.mean_bytes || !read_id(in.mean().root(), out.mean.root)) {
            return bad("a mean out of bounds");
        }
    }
    if (in.again_size() > static_cast<int>(crew_members_max)) return bad("too many lost lanes");
    for (const auto& a : in.again()) {
        base::node_id node;
        if (!read_id(a.node(), node)) return bad("an assignment without a node");
        TEQUIO_TRY(const auto key, read_item(shape, a.item()));
        if (key.item >= shape.lanes) return bad("a lost contribution of no lane");
        out.again.emplace_back(node, key);
    }
    out.depth = in.depth();
    out.groups = in.groups();
    out.abroad = in.abroad();
    if (!groups_exist(out.depth, out.groups) || out.abroad > crew_groups_nodes_max) {
        return bad("groups out of bounds");
    }
    if (in.lost_size() > static_cast<int>(missing_max)) return bad("too many lost lanes");
    for (const auto lane : in.lost()) {
        if (lane >= shape.lanes || (!out.lost.empty() && out.lost.back() >= lane)) {
            return bad("a lost lane out of bounds");
        }
        out.lost.push_back(lane);
    }
    return message(std::move(out));
}

void write(const team_call& in, crew_wire::frame& frame) {
    auto& out = *frame.mutable_team_call();
    write_item(in.item, *out.mutable_item());
    out.set_attempt(in.attempt);
    out.set_state(write_id(in.state));
    for (const auto& node : in.nodes) out.add_nodes(to_string(node.view()));
    out.set_ended(in.ended);
    out.set_check(in.check);
    if (in.part) out.set_part(to_string(*in.part));
    out.set_has_part(in.has_part);
}

result<message> read(const job_shape& shape, const crew_wire::team_call& in) {
    team_call out;
    TEQUIO_TRY(out.item, read_item(shape, in.item()));
    out.attempt = in.attempt();
    out.ended = in.ended();
    out.check = in.check();
    out.has_part = in.has_part();
    if (!in.part().empty()) {
        out.part.emplace();
        if (!read_signature(in.part(), *out.part)) return bad("a signature has 64 bytes");
        if (out.ended || out.item.item >= shape.lanes) return bad("a part of no lane");
    }
    if (out.item.item == shape.merge_item() || !read_id(in.state(), out.state) ||
        in.nodes_size() < 2 || in.nodes_size() > static_cast<int>(crew_slices_max)) {
        return bad("a team's call out of bounds");
    }
    std::set<base::node_id> seen;
    for (const auto& n : in.nodes()) {
        base::node_id node;
        if (!read_id(n, node) || !seen.insert(node).second) return bad("a team without a member");
        out.nodes.push_back(node);
    }
    return message(std::move(out));
}

void write(const group_note& in, crew_wire::frame& frame) {
    auto& out = *frame.mutable_group_note();
    out.set_depth(in.depth);
    out.set_group(in.group);
    out.mutable_steward()->set_round(in.steward.round);
    out.mutable_steward()->set_term(in.steward.term);
    out.mutable_steward()->set_node(to_string(in.steward.node.view()));
    out.set_chronicle(in.chronicle);
    out.set_members(in.members);
    for (const auto lane : in.leased) out.add_leased(lane);
    for (const auto& [round, fold] : in.books) {
        auto& book = *out.add_books();
        book.set_round(round);
        book.set_fold(fold);
    }
    out.set_sums(in.sums);
    for (const auto count : in.known) out.add_known(count);
}

result<message> read(const job_shape& shape, const crew_wire::group_note& in) {
    group_note out;
    out.depth = in.depth();
    out.group = in.group();
    out.chronicle = in.chronicle();
    out.members = in.members();
    out.sums = in.sums();
    const auto groups = std::uint32_t{1} << std::min(out.depth, group_depth_max);
    if (out.depth == 0 || out.depth > group_depth_max || out.group >= groups ||
        out.chronicle > shape.rounds + 1 || out.members > crew_members_max ||
        out.sums > group_sums_max || in.known_size() > static_cast<int>(groups) ||
        in.leased_size() > static_cast<int>(leased_max) ||
        in.books_size() > static_cast<int>(books_max)) {
        return bad("a group's note out of bounds");
    }
    TEQUIO_TRY(out.steward, read_steward(shape, in.steward()));
    for (const auto lane : in.leased()) {
        if (lane >= shape.lanes || (!out.leased.empty() && out.leased.back() >= lane)) {
            return bad("a leased lane out of bounds");
        }
        out.leased.push_back(lane);
    }
    for (const auto& book : in.books()) {
        if (book.round() > shape.rounds) return bad("a book of a round that does not exist");
        out.books.emplace_back(book.round(), book.fold());
    }
    out.known = {in.known().begin(), in.known().end()};
    return message(std::move(out));
}

void write(const book_tags& in, crew_wire::frame& frame) {
    auto& out = *frame.mutable_book_tags();
    out.set_round(in.round);
    out.set_nonce(in.nonce);
    out.set_first(in.first);
    out.set_tags(to_string(in.tags));
    out.set_want_back(in.want_back);
}

result<message> read(const job_shape& shape, const crew_wire::book_tags& in) {
    book_tags out{in.round(), in.nonce(), in.first(), {}, in.want_back()};
    if (out.round > shape.rounds || in.tags().size() > tags_max || out.first > shape.items() ||
        in.tags().size() > shape.items() - out.first) {
        return bad("a book out of bounds");
    }
    out.tags = to_bytes(in.tags());
    return message(std::move(out));
}

void write(const chronicle_request& in, crew_wire::frame& frame) {
    frame.mutable_chronicle_request()->set_from(in.from);
}

result<message> read(const job_shape& shape, const crew_wire::chronicle_request& in) {
    if (in.from() > shape.rounds) return bad("a request for rounds that do not exist");
    return message(chronicle_request{in.from()});
}

void write(const chronicle_reply& in, crew_wire::frame& frame) {
    auto& out = *frame.mutable_chronicle_reply();
    out.set_from(in.from);
    for (const auto& ref : in.entries) {
        write_ref(ref, *out.add_entries());
    }
}

result<message> read(const job_shape& shape, const crew_wire::chronicle_reply& in) {
    chronicle_reply out{in.from(), {}};
    const auto count = static_cast<std::uint64_t>(in.entries_size());
    if (count > entries_max || out.from > shape.rounds || out.from + count > shape.rounds + 1) {
        return bad("a chronicle reply out of bounds");
    }
    for (const auto& entry : in.entries()) {
        base::blob_ref ref;
        ref.size = entry.size();
        if (!read_id(entry.root(), ref.root) || ref.size == 0 || ref.size > crew_entry_max_bytes) {
            return bad("an entry's name out of bounds");
        }
        out.entries.push_back(ref);
    }
    return message(std::move(out));
}

/// What a claim says must hang together: each kind of item has its kind of result.
bool claim_is_whole(const job_shape& shape, const claim& c) {
    if (c.divergence) {
        return c.key.item != shape.merge_item() && c.blob_size == 0 &&
               c.divergence->step <= counter_max && name_is_plain(c.divergence->tensor) &&
               c.result == c.divergence->digest();
    }
    if (!std::isfinite(c.loss)) return false;
    if (c.key.item == shape.validation_item()) {
        return c.blob_size == 0 && c.result == validation_result(c.loss);
    }
    if (c.key.item == shape.merge_item()) {
        return c.blob_size > 0 && c.blob_size <= crew_entry_max_bytes;
    }
    return c.blob_size == shape.contribution_bytes;
}

/// Each of a team once, the claim's own node among them.
result<claim_team> read_team(const job_shape& shape, const crew_wire::claim_body& in,
                             const claim& c) {
    claim_team out{in.attempt(), {}};
    const auto count = static_cast<std::uint32_t>(in.members_size());
    if (count == 0) {
        if (out.attempt != 0) return bad("a team's attempt, of nobody");
        return out;
    }
    if (count >= shape.slices || c.key.item >= shape.lanes) return bad("a team for what has none");
    std::set<base::node_id> seen{c.node};
    for (const auto& m : in.members()) {
        team_member member;
        if (!read_id(m.node(), member.node) || !read_signature(m.signature(), member.signature)) {
            return bad("a team's member out of bounds");
        }
        if (!seen.insert(member.node).second) return bad("a node twice in a team");
        out.members.push_back(member);
    }
    return out;
}

}  // namespace

bool job_shape::has(item_key key) const {
    if (key.round > rounds || key.item >= items()) return false;
    if (key.item == validation_item()) return validation;
    return key.item == merge_item() || key.round < rounds;
}

bool steward_name::leads(const steward_name& other) const {
    if (round != other.round) return round > other.round;
    if (term != other.term) return term > other.term;
    return node < other.node;
}

byte_vector encode(const base::task_id& task, const message& m) {
    crew_wire::frame frame;
    frame.set_task(to_string(task.view()));
    std::visit([&](const auto& body) { write(body, frame); }, m);
    return serialize(frame);
}

result<message> decode(const job_shape& shape, byte_view bytes) {
    if (bytes.size() > crew_message_max_bytes) return bad("too long");
    crew_wire::frame frame;
    if (!parse(frame, bytes)) return bad("not a frame");
    base::task_id task;
    if (!read_id(frame.task(), task) || task != shape.task) return bad("of another job");
    switch (frame.body_case()) {
        case crew_wire::frame::kFacts:
            return read(shape, frame.facts());
        case crew_wire::frame::kStatus:
            return read(shape, frame.status());
        case crew_wire::frame::kRoundOpen:
            return read(shape, frame.round_open());
        case crew_wire::frame::kBookTags:
            return read(shape, frame.book_tags());
        case crew_wire::frame::kChronicleRequest:
            return read(shape, frame.chronicle_request());
        case crew_wire::frame::kChronicleReply:
            return read(shape, frame.chronicle_reply());
        case crew_wire::frame::kTeamCall:
            return read(shape, frame.team_call());
        case crew_wire::frame::kGroupNote:
            return read(shape, frame.group_note());
        case crew_wire::frame::BODY_NOT_SET:
            break;
    }
    return bad("of a kind unknown here");
}

byte_vector claim_body(const base::task_id& task, const claim& c) {
    crew_wire::claim_body out;
    out.set_task(to_string(task.view()));
    out.set_node(to_string(c.node.view()));
    out.set_round(c.key.round);
    out.set_item(c.key.item);
    out.set_of(write_id(c.of));
    out.set_state(to_string(c.state.view()));
    out.set_commitment(to_string(c.commitment.view()));
    out.set_result(to_string(c.result.view()));
    out.set_blob_size(c.blob_size);
    if (c.divergence) {
        out.set_diverged(true);
        out.set_step(c.divergence->step);
        out.set_tensor(c.divergence->tensor);
    } else {
        out.set_loss(c.loss);
    }
    out.set_attempt(c.team.attempt);
    for (const auto& m : c.team.members) {
        auto& to = *out.add_members();
        to.set_node(to_string(m.node.view()));
        to.set_signature(to_string(m.signature));
    }
    return serialize(out);
}

result<claim> parse_claim(const job_shape& shape, byte_view body) {
    crew_wire::claim_body in;
    claim c;
    base::task_id task;
    if (body.size() > team_claim_max_bytes || !parse(in, body)) return bad("not a claim");
    if (!read_id(in.task(), task) || task != shape.task) return bad("a claim of another job");
    if (!read_id(in.node(), c.node) || !read_id(in.of(), c.of, true) ||
        !read_id(in.state(), c.state) || !read_id(in.commitment(), c.commitment) ||
        !read_id(in.result(), c.result)) {
        return bad("a claim's digests have 32 bytes each");
    }
    c.key = {in.round(), in.item()};
    if (!shape.has(c.key)) return bad("a claim on an item that this job does not have");
    if (c.of == c.node) return bad("a claim that checks itself");
    c.blob_size = in.blob_size();
    if (in.diverged()) {
        c.divergence = diverged{in.step(), in.tensor()};
    } else {
        c.loss = in.loss();
    }
    if (!claim_is_whole(shape, c)) return bad("a claim whose result does not fit its item");
    TEQUIO_TRY(c.team, read_team(shape, in, c));
    return c;
}

byte_vector opening_body(const base::task_id& task, const opening& o) {
    crew_wire::opening_body out;
    out.set_task(to_string(task.view()));
    out.set_node(to_string(o.node.view()));
    out.set_round(o.key.round);
    out.set_item(o.key.item);
    out.set_trace(to_string(o.trace.view()));
    return serialize(out);
}

result<opening> parse_opening(const job_shape& shape, byte_view body) {
    crew_wire::opening_body in;
    opening o;
    base::task_id task;
    if (body.size() > fact_body_max_bytes || !parse(in, body)) return bad("not an opening");
    if (!read_id(in.task(), task) || task != shape.task || !read_id(in.node(), o.node) ||
        !read_id(in.trace(), o.trace)) {
        return bad("an opening's digests have 32 bytes each");
    }
    o.key = {in.round(), in.item()};
    if (!shape.has(o.key) || o.key.item >= shape.lanes) return bad("an opening of no lane");
    return o;
}

byte_vector part_body(const base::task_id& task, const sum_part& p) {
    crew_wire::part_body out;
    out.set_task(to_string(task.view()));
    out.set_node(to_string(p.node.view()));
    out.set_round(p.round);
    out.set_first(p.units.first);
    out.set_count(p.units.count);
    out.set_inputs(to_string(p.inputs.view()));
    out.set_root(to_string(p.blob.root.view()));
    out.set_size(p.blob.size);
    return serialize(out);
}

result<sum_part> parse_part(const job_shape& shape, byte_view body) {
    crew_wire::part_body in;
    sum_part p;
    base::task_id task;
    if (body.size() > fact_body_max_bytes || !parse(in, body)) return bad("not a part");
    if (!read_id(in.task(), task) || task != shape.task || !read_id(in.node(), p.node) ||
        !read_id(in.inputs(), p.inputs) || !read_id(in.root(), p.blob.root)) {
        return bad("a part's digests have 32 bytes each");
    }
    p.round = in.round();
    p.units = {in.first(), in.count()};
    p.blob.size = in.size();
    if (p.round >= shape.rounds || !units_exist(shape, p.units) || p.blob.size == 0 ||
        p.blob.size > base::blob_size_max_bytes) {
        return bad("a part of units that this job does not have");
    }
    return p;
}

byte_vector sums_body(const base::task_id& task, const lane_sums& s) {
    crew_wire::sums_body out;
    out.set_task(to_string(task.view()));
    out.set_node(to_string(s.node.view()));
    out.set_round(s.round);
    out.set_first(s.which.units.first);
    out.set_count(s.which.units.count);
    out.set_first_lane(s.which.lanes.first);
    out.set_lanes(s.which.lanes.count);
    out.set_inputs(to_string(s.inputs.view()));
    out.set_root(to_string(s.blob.root.view()));
    out.set_size(s.blob.size);
    return serialize(out);
}

result<lane_sums> parse_sums(const job_shape& shape, byte_view body) {
    crew_wire::sums_body in;
    lane_sums s;
    base::task_id task;
    if (body.size() > fact_body_max_bytes || !parse(in, body)) return bad("not a fact on sums");
    if (!read_id(in.task(), task) || task != shape.task || !read_id(in.node(), s.node) ||
        !read_id(in.inputs(), s.inputs) || !read_id(in.root(), s.blob.root)) {
        return bad("digests of sums have 32 bytes each");
    }
    s.round = in.round();
    s.which = {{in.first(), in.count()}, {in.first_lane(), in.lanes()}};
    s.blob.size = in.size();
    const auto& lanes = s.which.lanes;
    if (s.round >= shape.rounds || !units_exist(shape, s.which.units) || lanes.count == 0 ||
        lanes.count > shape.lanes || lanes.first > shape.lanes - lanes.count || s.blob.size == 0 ||
        s.blob.size > base::blob_size_max_bytes) {
        return bad("sums of units or lanes that this job does not have");
    }
    return s;
}

byte_vector signed_bytes(fact_kind kind, byte_view body) {
    const auto domain = [kind]() -> std::string_view {
        switch (kind) {
            case fact_kind::claim:
                return "tequio/crew/claim/v1";
            case fact_kind::opening:
                return "tequio/crew/opening/v1";
            case fact_kind::sums:
                return "tequio/crew/sums/v1";
            case fact_kind::slice:
                return "tequio/crew/slice/v1";
            case fact_kind::part:
                break;
        }
        return "tequio/crew/part/v1";
    };
    byte_vector out;
    base::byte_writer w(out);
    w.raw(base::as_bytes(domain()));
    w.u8(0);
    w.raw(body);
    return out;
}

base::digest commitment_of(const base::digest& result, const base::digest& trace,
                           const base::node_id& node) {
    byte_vector bytes;
    base::byte_writer w(bytes);
    w.raw(result.view());
    w.raw(trace.view());
    w.raw(node.view());
    return base::sha256(bytes);
}

base::digest inputs_digest(std::span<const base::digest> contributions) {
    base::sha256_stream all;
    for (const auto& c : contributions) all.add(c.view());
    return all.finish();
}

base::digest session_of(const base::task_id& task, const team_call& call) {
    byte_vector bytes;
    base::byte_writer w(bytes);
    w.raw(base::as_bytes("tequio/team/v1\n"));
    w.raw(task.view());
    w.u64(call.item.round);
    w.u32(call.item.item);
    w.u64(call.attempt);
    for (const auto& node : call.nodes) w.raw(node.view());
    return base::sha256(bytes);
}

std::vector<base::node_id> team_of(const claim& c) {
    std::vector<base::node_id> out{c.node};
    for (const auto& m : c.team.members) out.push_back(m.node);
    return out;
}

byte_vector slice_body(const base::task_id& task, item_key key, model_slice slice,
                       const base::digest& session) {
    byte_vector bytes;
    base::byte_writer w(bytes);
    w.raw(task.view());
    w.u64(key.round);
    w.u32(key.item);
    w.u32(slice.index);
    w.u32(slice.count);
    w.raw(session.view());
    return bytes;
}

std::vector<signed_fact> slice_facts(const base::task_id& task, const claim& c) {
    std::vector<signed_fact> out;
    team_call call;
    call.item = c.key;
    call.attempt = c.team.attempt;
    call.nodes = team_of(c);
    const auto session = session_of(task, call);
    model_slice slice{0, static_cast<std::uint32_t>(call.nodes.size())};
    for (const auto& m : c.team.members) {
        ++slice.index;
        out.push_back({slice_body(task, c.key, slice, session), m.signature});
    }
    return out;
}

base::digest validation_result(double loss) {
    byte_vector bytes;
    base::byte_writer w(bytes);
    w.raw(base::as_bytes("tequio/validation/v1\n"));
    w.f64(loss);
    return base::sha256(bytes);
}

byte_vector encode_stored_claim(const signed_fact& fact, const base::digest& trace) {
    byte_vector out;
    base::byte_writer w(out);
    w.raw(base::as_bytes("TQCLAIM1"));
    w.raw(trace.view());
    w.raw(fact.signature);
    w.raw(fact.body);
    return out;
}

result<std::pair<signed_fact, base::digest>> decode_stored_claim(byte_view bytes) {
    constexpr std::size_t head = 8 + 32 + 64;
    if (bytes.size() <= head || bytes.size() > head + team_claim_max_bytes ||
        base::as_text(bytes.first(8)) != "TQCLAIM1") {
        return bad("not a stored claim");
    }
    signed_fact fact;
    base::digest trace;
    std::copy_n(bytes.begin() + 8, 32, trace.bytes.begin());
    std::copy_n(bytes.begin() + 40, 64, fact.signature.begin());
    fact.body.assign(bytes.begin() + head, bytes.end());
    return std::pair(std::move(fact), trace);
}

}  // namespace tequio::training::crew_protocol
