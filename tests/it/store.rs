//! What every backend of the store must do, and what SQLite's must do besides.
//!
//! A backend is one line: [`store_tests!`] with a function that opens a fresh store. Each case is a script over a
//! [`scene::Scene`], and after each one the store must find nothing wrong with itself.

mod check;
mod claims;
mod definitions;
mod finishes;
mod idempotency;
mod logs;
mod older;
mod promotions;
mod purge;
mod reads;
mod reports;
mod scene;
mod sqlite;
mod sqlite_open;
mod starts;
mod stats;
mod stops;

/// Expands every case for the backend that `$open` opens.
macro_rules! store_tests {
    ($backend:ident, $open:path) => {
        mod $backend {
            store_tests! { @cases $open;
                starts: numbers_rise_from_one, everything_that_was_given_reads_back, a_start_in_the_past_runs_now,
                    a_start_and_its_claim_are_one_version, a_start_of_many_is_all_or_nothing, times_read_back_exactly,
                    inputs_keep_their_text, hundreds_of_starts_in_one_batch;
                claims: higher_priority_first_then_the_older, a_narrow_room_takes_the_most_urgent, a_room_bounds_its_task, slots_bound_each_workload,
                    a_task_without_room_costs_its_neighbours_nothing, more_rooms_than_one_statement_takes,
                    a_room_without_older_ones_takes_the_new_ones, an_older_instance_goes_before_a_new_one, a_new_instance_of_higher_priority_goes_first,
                    nothing_is_claimed_without_slots, a_claim_begins_the_attempt_afresh;
                finishes: a_finish_takes_the_ending_of_the_row, what_a_finish_expects_is_a_hint, hundreds_of_expected_finishes_beside_starts, a_finish_of_another_attempt_is_fenced,
                    terminal_is_final, output_and_terminal_status_come_together, a_failed_attempt_waits_for_its_retry,
                    a_finish_and_the_claim_of_its_retry_in_one_batch, finished_is_never_before_started,
                    two_finishes_of_one_attempt_apply_once, a_finish_clears_the_output, the_last_output_counts, the_last_progress_stays,
                    attempts_tell_how_each_ended, attempts_of_a_command_tell_its_exit_code,
                    an_interrupted_attempt_with_a_verdict_tells_both, hundreds_of_finishes_in_one_batch;
                reports: a_report_changes_what_it_names, a_report_of_another_attempt_changes_nothing,
                    a_report_and_a_finish_in_one_batch, a_report_after_the_finish_of_its_batch_is_late,
                    a_verdict_can_be_withdrawn;
                stops: a_pending_instance_is_cancelled_at_once, a_running_instance_keeps_the_earliest_deadline,
                    a_stop_is_sticky, a_stop_before_the_claim_of_its_batch, a_stop_of_a_new_instance_in_the_next_batch,
                    a_waiting_retry_is_cancelled, a_stop_for_one_status_leaves_others, a_refused_stop_is_told_what_it_met, stops_of_nothing_change_nothing, a_finish_before_a_stop_wins;
                promotions: a_scheduled_instance_waits_for_its_time, becoming_ready_is_no_new_version,
                    what_waited_too_long_fails, a_queue_timeout_ends_with_the_first_claim,
                    what_waited_too_long_is_not_claimed, the_next_due_is_the_earliest_of_both,
                    more_than_one_batch_can_promote;
                idempotency: a_repeat_is_answered_with_the_same_instances, the_same_key_for_something_else_is_refused,
                    two_equal_keys_in_one_batch_make_one_instance, keys_of_others_are_others, a_key_is_kept_a_day,
                    a_refused_batch_uses_no_key;
                reads: instances_are_found_by_id_and_number, summaries_are_instances_without_payloads, a_list_is_newest_first_in_pages, lists_filter_by_task,
                    lists_filter_by_status, live_instances_match_and_come_in_pages, lists_filter_by_labels, lists_filter_by_creation, lists_find_a_stretch_of_time,
                    lists_filter_by_creation_whatever_the_clock_did, filters_combine,
                    filters_are_values_and_never_sql, the_backlog_names_ready_tasks, running_instances_are_listed,
                    a_refused_batch_changes_nothing;
                definitions: a_definition_reads_back_as_it_was_given, a_definition_stays_while_an_instance_is_live,
                    a_start_in_the_batch_of_a_removal_keeps_the_definition;
                stats: an_empty_store_has_figures_too, every_change_is_counted_once, what_happened_stands_in_its_minute,
                    figures_of_one_task, durations_are_those_that_the_rows_tell, a_refused_batch_counts_nothing,
                    a_replayed_start_counts_nothing, many_tasks_in_one_batch, a_clock_set_back_counts_where_it_stands;
                purge: what_is_old_goes_with_all_that_belongs_to_it, what_is_not_done_stays, a_long_run_neither_blocks_nor_goes_early,
                    the_newest_stay, both_rules_hold, a_purge_goes_on_where_it_stopped, large_instances_go_in_small_batches,
                    what_happened_stays_counted, a_key_goes_with_its_instances, expired_keys_are_swept,
                    old_counters_are_put_together, nothing_to_purge_is_no_error;
                logs: lines_come_back_in_order, a_window_begins_anywhere, the_tail_reads_backwards,
                    lines_are_filtered, a_trimmed_log_says_so, lines_that_never_came_are_counted,
                    a_log_of_nobody_is_dropped, an_empty_log_is_empty;
            }
        }
    };
    (@cases $open:path; $($topic:ident: $($case:ident),+;)+) => {
        $(mod $topic {
            $(#[tokio::test]
            async fn $case() {
                let scene = $open().await;
                crate::store::$topic::$case(&scene).await;
                scene.is_sound().await;
            })+
        })+
    };
}

store_tests!(on_sqlite, crate::store::sqlite::open);
