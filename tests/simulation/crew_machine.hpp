#pragma once

/// The shell around one crew core on a virtual machine: carries its effects out in order, a durable
/// write before what follows it, exactly as training/crew.hpp asks of every shell.

#include <deque>
#include <map>
#include <memory>
#include <set>

#include "tests/simulation/crew_world.hpp"

namespace tequio::simulation {

/// Which pieces of an input such work looks at; none: all of it.
base::piece_run input_pieces(const training::work_item& item, std::size_t index,
                             const lane_functions& f);

class crew_machine final : public sim_node {
public:
    crew_machine(crew_world& world, std::size_t index);

    void begin();  ///< after the world knows it
    void receive(std::size_t from, base::byte_view bytes) override;
    void peer_up(std::size_t other) override;
    void peer_down(std::size_t other) override;
    void feed(const training::crew_event& e);
    const training::crew& core() const { return crew_; }
    bool working() const { return working_; }
    /// In the middle of what its team works on.
    bool in_team() const { return working_ && !item_.team.empty(); }
    const training::work_item& item() const { return item_; }
    /// The virtual worker's threads stand still, the item in hand is kept; and go on.
    void park();
    void unpark();

private:
    /// Of a team's work: its members begin together, and none is done before all are.
    enum class team_phase { begins, computes, gives };
    struct transfer {
        std::vector<base::node_id> holders;
        bool deliver = false;
        base::piece_run pieces;
        std::uint64_t attempt = 0;
        std::uint64_t failures = 0;
        base::byte_vector bytes;  ///< pieces so far
        std::uint64_t next = 0;
        /// Of the pieces so far, when they are some only.
        std::vector<std::pair<std::uint64_t, std::vector<base::digest>>> paths{};
        std::optional<shared_links::transfer_id> carried{};  ///< where blobs travel by size
    };
    static training::crew_memory memory_of(const virtual_disk& disk);

    void pump();
    base::byte_vector without_secrets(const base::byte_vector& message) const;
    base::byte_vector with_false_team(const base::byte_vector& message) const;
    void carry_out(const training::crew_effect& effect);
    void arm_tick();
    void begin_work(const training::work_item& item);
    void finish_work(const training::work_item& item);
    bool stop_is_due() const;
    void run_timer();
    void poll_team();
    bool team_is_at(team_phase phase) const;
    std::uint64_t lane_given(const training::work_item& item) const;
    void team_done(const training::work_item& item);
    void note_broken();
    computed slice_work(const training::work_item& item, const std::vector<base::byte_view>& in);
    void give_part(const training::work_item& item);
    computed lane_work(const training::work_item& item);
    computed sums_work(const training::work_item& item, const std::vector<base::byte_view>& in);
    computed shard_work(const training::work_item& item, const std::vector<base::byte_view>& in);
    base::result<computed> whole_work(const training::work_item& item,
                                      const std::vector<base::byte_view>& in);
    void report_work(const training::work_item& item, computed out);
    void store_then(std::string key, base::byte_vector value, std::function<void()> then);
    void start_fetch(const training::fetch_blob& f);
    /// A blob, or a run of its pieces.
    using place = std::pair<base::blob_ref, base::piece_run>;
    void carry(const place& what);
    void carried(const place& what, double left);
    std::vector<link_holder> living_holders(const place& what) const;
    void ask_piece(const place& what);
    void give_piece(std::size_t to, base::byte_reader& in);
    void take_piece(base::byte_reader& in);
    void fetch_done(const place& what, const std::string& failure);
    /// The bytes of a blob, of which perhaps only those pieces are right.
    const base::byte_vector* blob(const base::blob_ref& ref,
                                  const base::piece_run& pieces = {}) const;
    void forget(const base::blob_ref& ref);
    /// Runs `action` later unless this life has ended by then.
    void later(base::duration delay, std::function<void()> action);

    crew_world& world_;
    std::size_t index_;
    virtual_disk& disk_;
    base::rng rng_;
    training::crew crew_;
    std::shared_ptr<bool> life_ = std::make_shared<bool>(true);
    std::deque<training::crew_effect> queue_;
    bool waiting_for_disk_ = false;
    bool pumping_ = false;
    std::optional<base::time_point> tick_at_;
    std::uint64_t work_ = 0;  ///< numbers the items begun
    bool working_ = false;
    training::work_item item_;   ///< in hand
    base::duration left_{};      ///< what it still takes, from `timed_since_` on
    base::duration computed_{};  ///< what its worker says that it took
    base::time_point timed_since_{};
    bool parked_ = false;
    team_phase phase_ = team_phase::computes;
    base::time_point phase_since_{};
    training::model_slice held_;  ///< what its worker holds states of
    std::map<base::digest, slice_functions::tensor_list> tensors_;  ///< of the states of a slice
    std::map<base::digest, slice_functions::tensor_list> parts_;    ///< given, by session
    std::deque<base::digest> states_;  ///< what its worker holds, newest last
    std::map<place, transfer> transfers_;
    struct kept_piece {
        std::vector<base::digest> path;  ///< as it came, to serve it without the other leaves
        base::piece_run run;             ///< what it came with
    };
    std::map<std::pair<base::blob_ref, std::uint64_t>, kept_piece> pieces_;
    std::map<place, double> left_over_;  ///< bytes still to bring of what was broken off
};

}  // namespace tequio::simulation
