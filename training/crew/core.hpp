#pragma once

/// The crew core: joins the parts. One source file a concern:
///   crew.cpp         construction, events in, memory, check
///   crew_rounds.cpp  prepare, apply, close, settle, fail, finish
///   crew_shards.cpp  the open round's sum, shard by shard
///   crew_groups.cpp  a crew in groups: what they tell one another
///   crew_sums.cpp    a crew in groups: sums of groups' lanes, and parts of those
///   crew_work.cpp    which item this node works on, and what came of it
///   crew_states.cpp  full states: writing them, and going on from one
///   crew_slices.cpp  the state of one slice of the model, and how a whole state is known by it
///   crew_teams.cpp   seats and teams, calls of a team
///   crew_talk.cpp    messages, both ways
///   crew_view.cpp    what people see

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "training/crew.hpp"
#include "training/crew/awaited_parts.hpp"
#include "training/crew/blob_desk.hpp"
#include "training/crew/catch_up.hpp"
#include "training/crew/checks.hpp"
#include "training/crew/exchange.hpp"
#include "training/crew/groups.hpp"
#include "training/crew/lottery.hpp"
#include "training/crew/purpose.hpp"
#include "training/crew/roster.hpp"
#include "training/crew/round_book.hpp"
#include "training/crew/shards.hpp"
#include "training/crew/slice_lists.hpp"
#include "training/crew/state_desk.hpp"
#include "training/crew/stewardship.hpp"
#include "training/crew/team_names.hpp"
#include "training/crew/teams.hpp"

namespace tequio::training {

class crew::core {
public:
    core(crew_config config, crew_memory memory, base::rng rng);
    core(const core&) = delete;
    core& operator=(const core&) = delete;

    base::result<void> handle(base::time_point now, const crew_event& event,
                              std::vector<crew_effect>& out);
    base::time_point next_deadline() const { return next_beat_; }
    void check() const;
    crew_view view(bool with_chronicle) const;

private:
    using item_key = crew_protocol::item_key;
    using purpose = crew_protocol::purpose;
    using round_book = crew_protocol::round_book;
    using effects = std::vector<crew_effect>;

    // crew.cpp
    void start(base::time_point now, effects& out);
    void load(crew_memory memory);
    void load_fact(const store_fact& fact);
    void open_books();
    std::uint64_t books_low() const;
    base::result<void> on(const crew_message& e, effects& out);
    base::result<void> on(const member_up& e, effects& out);
    base::result<void> on(const member_down& e, effects& out);
    base::result<void> on(const work_done& e, effects& out);
    base::result<void> on(const work_failed& e, effects& out);
    base::result<void> on(const states_lost& e, effects& out);
    base::result<void> on(const work_progress& e, effects& out);
    base::result<void> on(const links_measured& e, effects& out);
    base::result<void> on(const blob_ready& e, effects& out);
    base::result<void> on(const blob_failed& e, effects& out);
    base::result<void> on(const crew_command& e, effects& out);
    base::result<void> on(const crew_tick& e, effects& out);
    void beat(effects& out);
    void look_for_steward();
    /// Nobody is there, and this node does nothing.
    bool dormant() const;
    /// Does whatever the state now allows, until nothing changes.
    void advance(effects& out);

    // crew_rounds.cpp
    round_book* book(std::uint64_t round);
    const round_book* book(std::uint64_t round) const;
    bool window_open() const;
    bool round_resolved() const;
    bool should_own() const;
    bool steward_rests_for(base::duration time) const;
    bool stuck() const;
    void drive_exchanges(effects& out);
    bool accept_closing(effects& out);
    bool close_last(effects& out);
    void note_taint();
    void finish_own_round(const base::digest& state_after, effects& out);
    void append(const chronicle_entry& entry, effects& out);
    void after_apply(const work_item& item, const work_outcome& outcome, bool own, effects& out);
    bool judge_divergence(effects& out);
    bool settle(effects& out);
    bool drawn_up(const round_book& b) const;
    bool overtaken(std::uint64_t round);
    void draw_checks();
    void record_unchecked(std::uint64_t round, const std::vector<std::uint32_t>& lanes,
                          effects& out);
    void drop_old_books(effects& out);
    void store_settled(effects& out);
    void finish(job_state state, std::string code, std::string reason, effects& out);
    bool alone() const;
    void adopt_settled(const crew_protocol::status& said, effects& out);
    void set_apart(const std::set<base::node_id>& nodes);
    bool others_arrived_at(const base::digest& state, std::uint64_t rounds) const;

    // crew_shards.cpp
    /// What a sum is of; kept while the book and the next entry stay as they are.
    struct summands {
        std::uint64_t round = 0;
        std::uint64_t fold = 0;
        base::blob_ref entry;
        std::vector<base::digest> contributions;
        base::digest inputs;
    };
    struct joined_sum {
        std::uint64_t round = 0;
        base::digest inputs;
        work_outcome outcome;
        std::vector<crew_protocol::sum_part> parts;
    };
    bool sharded() const;
    const summands* summed_lanes();
    base::piece_run lane_pieces(contribution_run units) const;
    bool part_comes(contribution_run units, const summands& s) const;
    const crew_protocol::shard* shard_in_turn(const summands* s) const;
    void drive_shards(effects& out);
    std::size_t standbys_wanted() const;
    std::vector<base::node_id> standbys_of(std::size_t index) const;
    const std::set<std::size_t>& stands_by();
    std::vector<base::node_id> gatherers(std::size_t index) const;
    void drive_standbys(effects& out);
    bool orphaned(item_key key) const;
    bool away(item_key key) const;
    std::vector<std::uint32_t> missing_lanes() const;
    std::set<std::uint32_t> lost_lanes() const;
    void fetch_parts(const summands& s, effects& out);
    void measure_part(const base::blob_ref& ref);
    std::optional<std::vector<base::blob_ref>> parts_here();
    bool mean_comes_in_parts();
    bool shard_work_waits();
    bool begin_shard_work(effects& out);
    void shard_summed(const work_item& item, const work_outcome& outcome, effects& out);
    void tell_parts(effects& out);
    void take_part(crew_protocol::known_part p, const base::node_id& from, effects& out);
    void parts_joined(const work_item& item, const work_outcome& outcome);
    void parts_refused();
    void plan_shards();
    base::duration shard_patience(contribution_run units) const;
    void reassign_shards(const std::vector<base::node_id>& fit);
    void close_shards(const chronicle_entry& entry, effects& out);
    bool audit_open(std::uint64_t round) const;
    std::size_t audit_turn(std::uint64_t round) const;
    void drive_audit(effects& out);
    std::optional<contribution_run> drawn_shard(std::uint64_t round);
    bool draw_again(std::uint64_t round);
    void shard_checked(const work_item& item, const work_outcome& outcome, effects& out);

    // crew_groups.cpp
    /// As many nodes are here that they are in groups.
    bool grouped() const { return groups_.several(); }
    bool lead_group() const;
    bool serves(std::uint32_t group) const;
    bool elsewhere(item_key key) const;
    bool checks_for(std::uint32_t group) const;
    void adopt_depth(std::uint32_t depth, effects& out);
    void divide_when_full(effects& out);
    void refresh_groups();
    void heard_abroad(const base::node_id& from, const crew_protocol::status& said);
    std::vector<base::node_id> stewards_abroad() const;
    std::map<std::uint32_t, std::vector<base::node_id>> nodes_abroad() const;
    void send_notes(effects& out);
    crew_protocol::group_note own_note() const;
    void relay(const crew_protocol::known_claim& k, effects& out);
    void relay_waiting(effects& out);

    // crew_sums.cpp
    bool sums_in_groups() const;
    void open_group_shards();
    const std::vector<crew_protocol::shard>& hinted_shards() const;
    void plan_rows();
    const crew_protocol::shard* row_of(contribution_run units) const;
    std::optional<base::digest> column_inputs(contribution_run lanes);
    void drive_groups(effects& out);
    std::optional<partial_sums> sums_in_turn(const summands* s);
    void want_sums(const summands& s, effects& out);
    std::optional<crew_protocol::addable_part> want_sums_of(contribution_run units,
                                                            const summands& s, effects& out);
    std::vector<base::node_id> part_holders(const crew_protocol::known_part& k, bool crosses) const;
    void want_group_parts(const summands& s, effects& out);
    bool begin_group_work(effects& out);
    void sums_made(const work_item& item, const work_outcome& outcome, effects& out);
    void part_added(const work_item& item, const work_outcome& outcome, effects& out);
    void sums_refused(const work_item& item);
    void sign_part(contribution_run units, const base::digest& inputs, const base::blob_ref& blob);
    void send_sums(const std::vector<base::node_id>& to,
                   const std::vector<const crew_protocol::known_part*>& parts,
                   const std::vector<const crew_protocol::known_sums*>& sums, effects& out);
    void pass_on(const crew_protocol::known_part& p, effects& out);
    void pass_on(const crew_protocol::known_sums& s, effects& out);
    void tell_rows(bool again, effects& out);
    void teller(const base::blob_ref& part, const base::node_id& node);
    void take_sums(crew_protocol::known_sums s, effects& out);
    void answer_wants(const base::node_id& from, const crew_protocol::status& said, effects& out);
    std::uint32_t sums_known(std::uint32_t group) const;
    void push_sums(const base::node_id& to, effects& out);

    // crew_work.cpp
    bool able() const;
    bool available() const;
    bool caught_up() const;
    void choose(effects& out);
    void begin(purpose why, work_item work, item_key key, effects& out);
    bool begin_lane_again(purpose why, item_key key, effects& out);
    void stop(effects& out);
    bool in_hand_is_moot() const;
    std::optional<item_key> ordered() const;
    std::optional<item_key> lane_by_place() const;
    bool to_do(item_key key) const;
    std::optional<item_key> unjudged() const;
    std::optional<item_key> volunteered() const;
    bool check_wanted(const round_book& b, std::uint32_t item) const;
    bool may_check(const base::node_id& node, item_key key) const;
    void weigh(round_book& b, std::uint32_t item);
    void weigh_all(round_book& b);
    bool begin_ordered(effects& out);
    bool begin_exchange_work(crew_protocol::exchange& x, bool own, effects& out);
    std::optional<work_item> item_from_state(work_kind kind, item_key key);
    bool works_on_item() const;
    void item_done(item_key key, const work_outcome& outcome, crew_protocol::claim_team team,
                   effects& out);
    void merge_checked(const work_outcome& outcome, effects& out);
    void claim_checked_merge(std::uint64_t round, const work_outcome& outcome, effects& out);
    bool confirm(item_key key, const base::digest& result, effects& out);
    void work_trouble(const std::string& reason);
    void give_up_closed(item_key key);
    void claim_result(crew_protocol::claim said, const base::digest& trace, effects& out);
    void claim_merge(std::uint64_t round, effects& out);

    // crew_states.cpp
    void drive_jump(effects& out);
    void refuse_state(const std::string& why, bool blamed, effects& out);
    bool begin_keep_state(effects& out);
    void begin_load_state(effects& out);
    void state_loaded(const work_outcome& outcome, effects& out);

    // crew_slices.cpp
    /// The mean of the open round, applied to this node's slice.
    struct state_ahead {
        std::uint64_t round = 0;
        base::blob_ref mean;
        base::digest state;  ///< of the slice
        base::time_point since;
    };
    /// The model can be divided; it is, at this node.
    bool slicing() const { return config_.slices.max > 1; }
    bool sliced() const { return seat_ && !seat_->whole(); }
    void take_seat(model_slice seat, effects& out);
    void forget_state();
    void begin_prepare(effects& out);
    void slice_prepared(const work_item& item, const work_outcome& outcome);
    work_item apply_item(std::uint64_t round, const base::blob_ref& mean) const;
    bool far_behind() const;
    bool ahead_is_due();
    std::optional<base::blob_ref> mean_ahead();
    std::optional<base::blob_ref> mean_to_apply();
    bool begin_ahead(effects& out);
    void slice_applied(const work_item& item, const work_outcome& outcome, effects& out);
    void applied_ahead(const work_item& item, const work_outcome& outcome, effects& out);
    void keep_slice_state(std::uint64_t round, const base::digest& state);
    void tell_slice(std::uint64_t round, const base::digest& mean, const work_outcome& outcome,
                    effects& out);
    void compare_slices(effects& out);
    std::optional<base::digest> composed_ahead() const;
    void doubt_own_slice();
    bool adopt_finished(effects& out);
    bool close_by_slices(effects& out);
    bool prove_candidate(effects& out);
    void arrived_ahead();

    // crew_teams.cpp
    static crew_protocol::slice_fits fits_of(const crew_slicing& slices);
    crew_protocol::slice_status own_slices() const;
    std::vector<crew_protocol::seat_candidate> seat_candidates() const;
    void plan_teams(effects& out);
    void measure_speed(const work_item& item, base::duration computed);
    void take_plan(crew_protocol::team_plan plan, effects& out);
    std::vector<base::node_id> own_team() const;
    bool leads(const base::node_id& node) const;
    bool is_ready(const base::node_id& node, model_slice seat) const;
    bool leads_team() const;
    bool are_ready(const std::vector<base::node_id>& team, std::uint32_t first = 0) const;
    std::size_t teams_here() const;
    /// What this node claims a team computed, and there are others that can settle a dispute.
    bool others_can_judge() const { return sliced() && teams_whole_ > 2; }
    bool can_work(const base::node_id& node) const;
    bool has_company() const;
    bool may_lead() const;
    std::vector<base::node_id> rivals() const;
    std::vector<crew_protocol::worker_slot> team_slots() const;
    void call_team(bool ended, effects& out);
    void say_part(effects& out);
    base::result<void> part_said(const base::node_id& from, const base::signature& part,
                                 effects& out);
    void wait_for_parts_no_longer(effects& out);
    void keep_keys(const crew_protocol::claim_team& team, effects& out);
    base::result<bool> names_team(const crew_protocol::claim& said);
    void leave_call(const base::digest& session, effects& out);
    bool team_fell_apart() const;
    bool call_stands() const;
    bool begin_called(effects& out);
    void team_trouble(const std::string& reason);
    bool withdrawn() const;
    std::optional<item_key> lost_lane() const;
    void order_again();
    bool again_is_moot(item_key key) const;
    bool begin_again(effects& out);

    // crew_view.cpp
    void explain(crew_view& v) const;
    std::optional<std::pair<std::string, std::string>> explain_slices() const;

    // crew_talk.cpp
    base::result<void> heard(const base::node_id& from, crew_protocol::facts m, effects& out);
    base::result<void> heard(const base::node_id& from, crew_protocol::status m, effects& out);
    base::result<void> heard(const base::node_id& from, crew_protocol::round_open m, effects& out);
    base::result<void> heard(const base::node_id& from, crew_protocol::book_tags m, effects& out);
    base::result<void> heard(const base::node_id& from, crew_protocol::chronicle_request m,
                             effects& out);
    base::result<void> heard(const base::node_id& from, crew_protocol::chronicle_reply m,
                             effects& out);
    base::result<void> heard(const base::node_id& from, crew_protocol::team_call m, effects& out);
    base::result<void> heard(const base::node_id& from, crew_protocol::group_note m, effects& out);
    void take_claim(crew_protocol::known_claim k, effects& out);
    void take_own_claim(crew_protocol::known_claim k, effects& out);
    void send(const base::node_id& to, const crew_protocol::message& m, effects& out);
    void send(const std::vector<base::node_id>& to, const crew_protocol::message& m, effects& out);
    void send_claims(const std::vector<base::node_id>& to,
                     const std::vector<const crew_protocol::known_claim*>& claims, effects& out);
    void show(const base::node_id& to, item_key key, effects& out);
    void compare_books(const base::node_id& with, const crew_protocol::status& said, effects& out);
    void send_tags(const base::node_id& to, const round_book& b, std::uint32_t first,
                   bool want_back, effects& out);
    crew_protocol::status own_status() const;
    crew_protocol::status spoken_status() const;  ///< with lottery tickets
    bool apart() const;
    bool unseated() const;
    void send_status(effects& out);
    void status_on_change(effects& out);
    void lead(effects& out);
    void send_round_open(effects& out);
    std::vector<crew_protocol::worker_slot> slots() const;

    crew_config config_;
    crew_protocol::job_shape shape_;
    base::rng rng_;
    base::time_point now_{};
    base::time_point next_beat_{base::time_point::min()};
    std::uint64_t beats_ = 0;
    bool started_ = false;

    crew_protocol::key_book keys_;
    crew_protocol::group_map groups_;
    crew_protocol::roster roster_;
    std::optional<crew_protocol::leadership> leadership_;  ///< from the first event on
    crew_protocol::planner planner_;
    std::optional<item_key> order_, next_order_;  ///< from the steward followed
    crew_protocol::crew_place place_;             ///< as the steward said last
    std::vector<std::pair<base::node_id, item_key>> told_, told_next_;  ///< as last sent
    std::vector<crew_protocol::shard> told_shards_;                     ///< likewise

    crew_protocol::catch_up chain_;
    std::map<std::uint64_t, round_book> books_;
    crew_protocol::blob_desk desk_;
    crew_protocol::state_desk states_;
    crew_protocol::exchange own_;
    crew_protocol::exchange audit_;
    crew_protocol::shard_book shards_;
    crew_protocol::exchange mine_;                               ///< gathers for an own shard
    contribution_run mine_units_;                                ///< that shard
    base::time_point gathering_until_{base::time_point::min()};  ///< lanes for it were on their way
    /// Gathers for further shards, by their first unit: own ones, and others' as long as that may
    /// be of use.
    std::map<std::uint64_t, crew_protocol::exchange> standbys_;
    crew_protocol::standby_place standby_place_;
    /// Members that went without a word, and when; those of the last hour count.
    std::map<base::node_id, base::time_point> vanished_;
    std::optional<joined_sum> joined_;
    /// Closed rounds that were put together here: the parts that others made, and the shard whose
    /// part is made again.
    std::map<std::uint64_t, std::vector<crew_protocol::sum_part>> parts_of_others_;
    std::map<std::uint64_t, contribution_run> drawn_;
    std::optional<contribution_run> audit_units_;  ///< the audit is of this shard alone
    summands summands_;
    unsigned joins_failed_ = 0;
    std::optional<std::uint64_t> unjoinable_;  ///< a round with a part that is none
    std::map<base::blob_ref, std::pair<base::node_id, base::time_point>> parts_asked_;
    std::set<base::blob_ref> old_parts_;  ///< of the last closed round
    crew_protocol::check_desk checks_;
    crew_protocol::lottery lottery_;
    crew_protocol::standing_book standing_;
    std::map<std::uint64_t, base::time_point> closed_at_;  ///< of the rounds with books
    std::optional<base::time_point> overtaken_since_;      ///< others have settled what we have not
    std::optional<base::time_point> without_order_since_;
    std::optional<std::uint64_t> ordered_round_;  ///< the last for which the steward gave orders
    std::set<item_key> hopeless_;                 ///< closed items that cannot be computed here
    std::map<item_key, unsigned> failed_;         ///< how often in a row, of closed items
    std::map<item_key, crew_protocol::own_claim> own_claims_;
    std::optional<base::time_point> resolved_since_;  ///< every item of the open round is known
    std::optional<std::uint64_t> distrusted_;         ///< a round whose entry led elsewhere

    std::uint64_t settled_ = 0;
    std::uint64_t lanes_checked_ = 0;
    std::uint64_t lanes_settled_ = 0;
    bool settled_by_hearsay_ = false;
    std::optional<std::uint64_t> tainted_from_;
    std::optional<base::time_point> company_;  ///< when somebody else could last work

    bool prepared_ = false;
    std::uint64_t applied_ = 0;  ///< the worker holds S(applied_)
    std::optional<crew_protocol::in_hand> in_hand_;
    std::map<item_key, base::digest> first_try_;  ///< results that differ from what others claim
    std::optional<base::digest> state_mismatch_;  ///< what the last apply came to, once
    std::optional<base::time_point> resting_until_;
    unsigned failures_ = 0;
    bool inexact_ = false;  ///< this machine contradicted itself: no more work
    bool paused_ = false, suspended_ = false, draining_ = false, left_ = false;

    // Where the model can be divided.
    crew_protocol::slice_fits fits_;      ///< empty where it cannot
    std::optional<model_slice> seat_;     ///< of which the worker holds, or makes, the state
    crew_protocol::team_plan teams_;      ///< as the steward said last
    std::size_t teams_whole_ = 0;         ///< `teams_here`, when the event in hand came
    crew_protocol::team_desk team_desk_;  ///< as the steward
    crew_protocol::steady_figure speed_, up_, delay_;       ///< of this node, as told to the others
    std::map<std::uint64_t, base::digest> slice_states_;    ///< that the worker holds, by round
    std::vector<std::vector<base::digest>> first_tensors_;  ///< of S(0), by slice
    crew_protocol::slice_lists lists_;
    std::uint64_t proven_ = 0;  ///< this slice's state is part of S(proven_)
    std::optional<state_ahead> ahead_;
    base::blob_ref mean_told_;  ///< of the open round, by the steward; size 0: none
    std::optional<base::time_point> unlike_since_;  ///< the lists do not come to the next entry
    bool stranded_ = false;  ///< the others are where this node does not arrive
    std::optional<crew_protocol::team_call> call_out_;  ///< to the own team
    crew_protocol::team_names names_;
    std::optional<std::pair<base::time_point, work_done>> unnamed_;  ///< done, and names are owed
    std::optional<crew_protocol::team_work> call_;  ///< by the own team's first member
    base::digest session_over_;    ///< of the last call that was done, ended or failed here
    bool session_failed_ = false;  ///< the team's first member is to know
    unsigned team_failures_ = 0;
    std::optional<item_key> again_;                 ///< from the steward followed
    std::map<base::node_id, item_key> told_again_;  ///< as the steward
    crew_protocol::team_plan told_teams_;
    base::blob_ref told_mean_;

    // Where more nodes may come than fit into one group.
    std::uint32_t depth_max_ = 0;                 ///< 0: none are formed
    std::vector<contribution_run> group_shards_;  ///< the mean's units, cut
    std::uint64_t live_ = 0;                      ///< groups that are heard of, a bit each
    std::uint32_t abroad_ = 0;                    ///< members of others
    std::map<std::uint32_t, crew_protocol::group_contact> contacts_;  ///< as a steward
    std::map<base::node_id, base::time_point> applicants_;            ///< found no seat here
    std::set<std::uint32_t> lost_here_;       ///< lanes that the steward has computed once more
    std::vector<crew_protocol::shard> rows_;  ///< who of the group sums which units
    std::uint64_t rows_round_ = 0;
    std::set<std::pair<std::uint64_t, base::node_id>> rows_tried_;  ///< by first unit
    base::time_point rows_changed_{};
    crew_protocol::sums_book sums_;
    partial_sums gathered_for_;                                           ///< what `mine_` gathers
    std::map<std::uint64_t, std::optional<base::digest>> column_inputs_;  ///< by first lane
    std::pair<std::uint64_t, base::blob_ref> column_inputs_of_;           ///< fold, entry
    mutable crew_protocol::lanes_abroad abroad_leases_;
    crew_protocol::awaited_parts awaited_;
    std::uint64_t plans_opened_ = 0;  ///< the book's plans when its shards were the group's
    std::uint64_t rows_changes_ = 0;  ///< of who sums what in the group
    crew_protocol::sums_look sums_look_;
    bool parts_wanted_ = false;
    std::map<base::blob_ref, std::set<base::node_id>> tellers_;  ///< who says that it has a part
    std::set<std::uint64_t> rows_told_;                          ///< by first unit
    crew_protocol::shard_set parts_told_;  ///< to members of that stamp, since all were
    std::uint64_t parts_told_to_ = 0;
    std::vector<std::pair<item_key, base::node_id>> relayed_;  ///< claims from other groups
    std::uint64_t noted_ = 0;                                  ///< chronicle as last told abroad

    job_state job_ = job_state::waiting;
    std::string reason_code_, reason_, trouble_;
    std::uint64_t activity_ = 0;
    std::map<base::node_id, std::uint64_t> lanes_by_;  ///< claims seen; for people
    contribution_tally lanes_coded_, means_coded_;     ///< for people
    crew_protocol::status status_sent_;
};

}  // namespace tequio::training
