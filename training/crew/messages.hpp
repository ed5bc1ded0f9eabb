#pragma once

/// What the nodes of a crew say to one another, as plain structs; crew.proto is their wire form.
/// Decoding checks every length, count and range before anything is kept, and is safe on any input.

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/blob.hpp"
#include "base/signing.hpp"
#include "training/contribution.hpp"
#include "training/crew.hpp"

namespace tequio::training::crew_protocol {

inline constexpr std::size_t facts_max = 64;             ///< claims, and openings, a message
inline constexpr std::size_t fact_body_max_bytes = 640;  ///< a claim has about 300
/// A claim of a team: node and signature of all its members but one, too.
inline constexpr std::size_t team_claim_max_bytes =
    fact_body_max_bytes + 104 * (crew_slices_max - 1);
inline constexpr std::size_t certificate_max_bytes = 1024;
inline constexpr std::size_t tensor_name_max_bytes = 200;
inline constexpr std::size_t tags_max = 32768;     ///< items a book message
inline constexpr std::size_t books_max = 80;       ///< folds a status: settle (64) and some
inline constexpr std::size_t entries_max = 512;    ///< entry names a chronicle reply
inline constexpr std::size_t wanted_max = 64;      ///< openings asked for a message
inline constexpr std::size_t tickets_max = 80;     ///< lottery tickets a status: as books
inline constexpr std::size_t slice_lists_max = 8;  ///< a status
inline constexpr std::uint64_t slice_list_max_bytes = 1u << 19;       ///< 16,384 tensors
inline constexpr std::size_t missing_max = 64;                        ///< lost lanes a status
inline constexpr std::size_t leased_max = 4 * crew_members_max;       ///< lanes a group's note
inline constexpr std::uint32_t group_sums_max = 1u << 16;             ///< facts a group and round
inline constexpr std::uint32_t group_depth_max = 6;                   ///< 64 groups: a bit each
inline constexpr std::uint64_t counter_max = std::uint64_t{1} << 48;  ///< terms, activity

/// One item of a round: lanes first, then the validation item, then the merge.
struct item_key {
    std::uint64_t round = 0;
    std::uint32_t item = 0;
    auto operator<=>(const item_key&) const = default;
};

/// The shape of a job, which bounds what can be said about it.
struct job_shape {
    base::task_id task;
    std::uint32_t lanes = 0;
    std::uint64_t rounds = 0;
    std::uint64_t contribution_bytes = 0;
    std::uint64_t mean_bytes = 0;
    bool validation = false;
    std::uint64_t mean_units = 1;
    std::uint32_t slices = 1;  ///< into which the model may be divided

    std::uint32_t validation_item() const { return lanes; }
    std::uint32_t merge_item() const { return lanes + 1; }
    std::uint32_t items() const { return lanes + 2; }
    /// True for what can be computed: round `rounds` has no lanes.
    bool has(item_key key) const;
};

/// Bytes as signed, with the signature.
struct signed_fact {
    base::byte_vector body;
    base::signature signature{};
    bool operator==(const signed_fact&) const = default;
};

/// Who computed a slice of a lane, and its word for that.
struct team_member {
    base::node_id node;
    base::signature signature{};  ///< over `slice_body`
    bool operator==(const team_member&) const = default;
};

/// Who computed a lane with the node that claims it, which had slice 0.
struct claim_team {
    std::uint64_t attempt = 0;         ///< `team_call::attempt`
    std::vector<team_member> members;  ///< slices 1, 2, ...; none: it computed the lane alone
    bool operator==(const claim_team&) const = default;
};

/// "I computed this item and got this result."
struct claim {
    base::node_id node;
    item_key key;
    base::node_id of;  ///< whose claim it checks; zero for none
    base::digest state;
    base::digest commitment;
    base::digest result;
    std::uint64_t blob_size = 0;  ///< of the contribution or entry text; 0 for none
    std::optional<diverged> divergence;
    double loss = 0;
    claim_team team = {};  ///< lanes only

    base::blob_ref blob() const { return {result, blob_size}; }
    bool operator==(const claim&) const = default;
};

struct opening {
    base::node_id node;
    item_key key;
    base::digest trace;
};

/// "I summed these units of the mean over these contributions, and this is the part."
struct sum_part {
    base::node_id node;
    std::uint64_t round = 0;
    contribution_run units;
    base::digest inputs;  ///< `inputs_digest`
    base::blob_ref blob;
    bool operator==(const sum_part&) const = default;
};

/// "I summed these lanes over these units, and it came to these sums."
struct lane_sums {
    base::node_id node;
    std::uint64_t round = 0;
    partial_sums which;
    base::digest inputs;  ///< `inputs_digest` of those lanes' contributions
    base::blob_ref blob;
    bool operator==(const lane_sums&) const = default;
};

struct facts {
    std::vector<std::pair<base::node_id, base::byte_vector>> certificates;
    std::vector<signed_fact> claims;
    std::vector<signed_fact> openings;
    std::vector<item_key> openings_wanted;
    std::vector<signed_fact> parts = {};
    std::vector<signed_fact> sums = {};
};

/// Orders stewards: the later round, then the higher term, then the smaller id leads.
struct steward_name {
    std::uint64_t round = 0;
    std::uint64_t term = 0;
    base::node_id node;

    bool leads(const steward_name& other) const;
    bool operator==(const steward_name&) const = default;
};

enum class doing_kind : std::uint32_t { nothing = 0, item = 1, own = 2 };

/// A member's part in the lottery of one round: its secret, or what that hashes to.
struct ticket {
    std::uint64_t round = 0;
    base::digest value;
    bool shown = false;  ///< `value` is the secret
    bool operator==(const ticket&) const = default;
};

/// Names the digests of a slice's tensors in S(round).
struct slice_list {
    std::uint64_t round = 0;
    base::digest mean;  ///< that led there
    base::blob_ref list;
    bool operator==(const slice_list&) const = default;
};

/// What a node has room for: for 1, 2, ... slices a bit for each of them.
using slice_fits = std::vector<std::uint32_t>;

/// What a member can hold, and holds, of a model that is divided.
struct slice_status {
    std::optional<model_slice> seat;  ///< of which it holds, or makes, the state
    slice_fits fits;
    std::uint64_t memory = 0;       ///< bytes offered
    std::uint64_t speed = 0;        ///< operations a second; 0: not measured
    std::vector<slice_list> lists;  ///< of its slice
    std::optional<item_key> lost;   ///< a lane whose contribution nobody can give it
    std::uint64_t up = 0;           ///< bytes a second that it sends; 0: not measured
    std::uint64_t delay = 0;        ///< microseconds: its part of a message's way, one way
    bool operator==(const slice_status&) const = default;
};

/// A full state that the sender keeps, and the history that led to it.
struct named_state {
    std::uint64_t round = 0;
    base::blob_ref blob;
    base::digest history;  ///< of the rounds before (`catch_up::history`)
    auto operator<=>(const named_state&) const = default;
};

struct status {
    std::uint64_t chronicle = 0;
    std::uint64_t applied = 0;
    base::digest state;
    std::uint64_t settled = 0;
    std::uint64_t lanes_checked = 0;
    doing_kind doing = doing_kind::nothing;
    item_key item;
    bool available = false;  ///< would take an item now
    bool able = false;       ///< takes part: not paused, its worker works
    bool leaving = false;
    job_state job = job_state::waiting;
    std::optional<steward_name> steward;
    std::vector<std::pair<std::uint64_t, std::uint64_t>> books;  ///< round, fold
    std::uint64_t activity = 0;
    std::vector<ticket> tickets;
    std::optional<slice_status> slices = {};  ///< where the model can be divided
    /// Lanes of the open round, ascending, whose contribution the sender needs and nobody gives.
    std::vector<std::uint32_t> missing = {};
    bool full = false;        ///< whoever hears it has no seat at the sender, and none is free
    std::uint32_t depth = 0;  ///< the crew is in 2^depth groups
    std::uint64_t sums_wanted = 0;  ///< groups of whose lanes it lacks sums that it is to add
    bool parts_wanted = false;      ///< lacks parts of the open round, whose lanes are known
    std::optional<named_state> kept = {};  ///< the newest
    std::uint64_t means_from = 0;          ///< means of earlier rounds were never at the sender
    bool operator==(const status&) const = default;
};

/// A run of the mean's units, and who is to sum it.
struct shard {
    contribution_run units;
    base::node_id owner;
    bool operator==(const shard&) const = default;
};

/// A node's slice, and its team.
struct seat {
    base::node_id node;
    std::uint32_t slice = 0;
    std::uint32_t team = 0;  ///< 1, 2, ...; 0: a standby
    auto operator<=>(const seat&) const = default;
};

/// A team's first member to the others: begin this attempt, or end it; a member to the first: it
/// cannot go on, or takes part.
struct team_call {
    item_key item;
    std::uint64_t attempt = 0;
    base::digest state;                ///< S(round)
    std::vector<base::node_id> nodes;  ///< by slice, 2 to crew_slices_max
    bool ended = false;
    bool check = false;                        ///< of a result that is known
    std::optional<base::signature> part = {};  ///< a member's, over `slice_body`
    bool has_part = false;                     ///< the sender has the receiver's
    bool operator==(const team_call&) const = default;
};

struct round_open {
    std::uint64_t round = 0;
    std::uint64_t term = 0;
    base::digest state;
    std::vector<std::pair<base::node_id, item_key>> assignments;  ///< at most one a node
    std::vector<std::pair<base::node_id, item_key>> next;         ///< likewise: to go on with
    std::uint32_t place = 0, places = 0;                          ///< the receiver's; crew_place
    std::vector<shard> shards = {};  ///< at most crew_members_max; what they cover is not checked
    std::uint32_t slices = 0;        ///< 0: the model is not divided, and there are no seats
    std::vector<seat> seats = {};    ///< by node; every team is whole
    base::blob_ref mean = {};        ///< of this round, to be applied ahead; size 0: none
    std::vector<std::pair<base::node_id, item_key>> again = {};  ///< lanes whose blobs are lost
    // Of a crew in groups; else as they are here.
    std::uint32_t depth = 0;
    std::uint64_t groups = 0;              ///< that are heard of, a bit each
    std::uint32_t abroad = 0;              ///< members of other groups
    std::vector<std::uint32_t> lost = {};  ///< lanes that nobody can give, ascending
};

/// From the steward of a group to those of the others.
struct group_note {
    std::uint32_t depth = 0;
    std::uint32_t group = 0;
    steward_name steward;
    std::uint64_t chronicle = 0;
    std::uint32_t members = 0;
    std::vector<std::uint32_t> leased;  ///< lanes of the open round that the group has in hand
    std::vector<std::pair<std::uint64_t, std::uint64_t>> books;  ///< round, fold
    std::uint32_t sums = 0;            ///< facts on sums and parts by members of the group
    std::vector<std::uint32_t> known;  ///< by group: those that the sender has
};

struct book_tags {
    std::uint64_t round = 0;
    std::uint64_t nonce = 0;
    std::uint32_t first = 0;
    base::byte_vector tags;
    bool want_back = false;
};

struct chronicle_request {
    std::uint64_t from = 0;
};

struct chronicle_reply {
    std::uint64_t from = 0;
    std::vector<base::blob_ref> entries;  ///< texts of entries from, from + 1, ...
};

using message = std::variant<facts, status, round_open, book_tags, chronicle_request,
                             chronicle_reply, team_call, group_note>;

/// At most crew_message_max_bytes, which the caps above ensure.
base::byte_vector encode(const base::task_id& task, const message& m);
/// Errors: `errc::bad_message`, saying which rule was broken.
base::result<message> decode(const job_shape& shape, base::byte_view bytes);

/// The bytes of a claim that are signed and sent.
base::byte_vector claim_body(const base::task_id& task, const claim& c);
/// Errors: `errc::bad_message`: not this task, an item that the job lacks, a result that does not
/// belong to its parts, a name or number out of bounds.
base::result<claim> parse_claim(const job_shape& shape, base::byte_view body);
base::byte_vector opening_body(const base::task_id& task, const opening& o);
/// Errors: as parse_claim.
base::result<opening> parse_opening(const job_shape& shape, base::byte_view body);

base::byte_vector part_body(const base::task_id& task, const sum_part& p);
/// Errors: as parse_claim.
base::result<sum_part> parse_part(const job_shape& shape, base::byte_view body);

base::byte_vector sums_body(const base::task_id& task, const lane_sums& s);
/// Errors: as parse_claim.
base::result<lane_sums> parse_sums(const job_shape& shape, base::byte_view body);

/// Who computed what is claimed, by slice; one: its node alone.
std::vector<base::node_id> team_of(const claim& c);
/// What a member signs when it takes part in `session`: which slice of which item, of how many.
base::byte_vector slice_body(const base::task_id& task, item_key key, model_slice slice,
                             const base::digest& session);
/// What the members named in a claim have signed, in their order; who signed is to be verified.
/// Whoever is left out, or put into another's place, makes it another session.
std::vector<signed_fact> slice_facts(const base::task_id& task, const claim& c);

enum class fact_kind { claim, opening, part, sums, slice };
/// What is signed for a body: a domain of its own for each kind.
base::byte_vector signed_bytes(fact_kind kind, base::byte_view body);

/// SHA-256(result, trace, node): binds a node to a trace it does not show yet.
base::digest commitment_of(const base::digest& result, const base::digest& trace,
                           const base::node_id& node);
/// Names what a sum is of: SHA-256 over the contributions' roots in lane order.
base::digest inputs_digest(std::span<const base::digest> contributions);
/// Names an attempt of a team: SHA-256("tequio/team/v1\n", task, round, item, attempt, nodes).
base::digest session_of(const base::task_id& task, const team_call& call);
/// Stands as the result of a validation item.
base::digest validation_result(double loss);

/// Under this, and a node's id, its certificate is stored as long as claims may bear its name.
inline constexpr std::string_view signer_key = "signer/";
/// A claim of this node as it is stored: the signed fact and the trace behind its commitment.
base::byte_vector encode_stored_claim(const signed_fact& fact, const base::digest& trace);
/// Errors: `errc::bad_message`.
base::result<std::pair<signed_fact, base::digest>> decode_stored_claim(base::byte_view bytes);

}  // namespace tequio::training::crew_protocol
